/* An executed program that LD_PRELOAD does not reach, with no lonet command to supervise it, is reported
 * on stderr, once, and runs. */
#include "child.h"
#include <elf.h>
#include <stddef.h>
#include <sys/stat.h>

/* Instructions that end the process with 7, and the headers for them. */
static void make_static(const char *path, int machine, int interpreter)
{
#if defined __x86_64__
	static const unsigned char code[] = { 0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05 };
#elif defined __aarch64__
	static const unsigned char code[] = { 0xe0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4 };
#endif
	static const char musl[] = "/lib/ld-musl-none.so.1";
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segments[2];
		unsigned char code[16];
		char path[32];
	} file = { 0 };
	memcpy(file.header.e_ident, ELFMAG, SELFMAG);
	file.header.e_ident[EI_CLASS] = ELFCLASS64;
	file.header.e_ident[EI_DATA] = ELFDATA2LSB;
	file.header.e_ident[EI_VERSION] = EV_CURRENT;
	file.header.e_type = ET_EXEC;
	file.header.e_machine = (Elf64_Half)machine;
	file.header.e_version = EV_CURRENT;
	file.header.e_phoff = sizeof file.header;
	file.header.e_ehsize = sizeof file.header;
	file.header.e_phentsize = sizeof *file.segments;
	file.header.e_phnum = interpreter ? 2 : 1;
	file.header.e_entry = 0x400000 + offsetof(__typeof__(file), code);
	file.segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x400000, .p_paddr = 0x400000,
					 .p_filesz = sizeof file, .p_memsz = sizeof file, .p_align = 0x1000 };
	file.segments[1] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = offsetof(__typeof__(file), path),
					 .p_filesz = sizeof musl };
	memcpy(file.code, code, sizeof code);
	memcpy(file.path, musl, sizeof musl);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	if (fd < 0 || write(fd, &file, sizeof file) != sizeof file)
		bail("%s", path);
	close(fd);
}

#if defined __x86_64__
enum { OURS = EM_X86_64, OTHER = EM_AARCH64 };
#elif defined __aarch64__
enum { OURS = EM_AARCH64, OTHER = EM_X86_64 };
#endif

static char dir[] = "/tmp/unhooked.XXXXXX", path[64];
static int status_;

/* stderr of a child that runs `call`; its exit code in status_. */
#define complaint(call)                               \
	({                                            \
		int c_ends[2];                        \
		make_pipe(c_ends);                    \
		fflush(stdout);                       \
		pid_t c_pid = fork();                 \
		if (c_pid == 0) {                     \
			dup2(c_ends[1], STDERR_FILENO); \
			call;                         \
			_exit(99);                    \
		}                                     \
		close(c_ends[1]);                     \
		const char *c_words = words(c_ends[0]); \
		status_ = reap(c_pid);                \
		c_words;                              \
	})

#define says(call, word, code, ...)                                                               \
	do {                                                                                      \
		const char *s_text = complaint(call);                                             \
		int s_ok = strstr(s_text, word) && strstr(s_text, path) && !strchr(s_text, '\n'); \
		ok(s_ok, __VA_ARGS__);                                                            \
		if (!s_ok)                                                                        \
			printf("# \"%s\"\n", s_text);                                             \
		is_int(status_, code, "and it runs, or not, as it would");                        \
	} while (0)

int main(void)
{
	/* The library looks for it once. */
	if (!getenv("LONET_BIN")) {
		setenv("LONET_BIN", "/no/lonet", 1);
		execl("/proc/self/exe", "lonet_exec_says_unhooked", NULL);
		bail("exec");
	}
	char *const args[] = { "x", NULL }, *const none[] = { NULL };
	char script[64];
	pid_t pid;
	if (!mkdtemp(dir))
		bail("mkdtemp");
	snprintf(path, sizeof path, "%s/prog", dir);
	make_static(path, OURS, 0);

	says(execve(path, args, none), "statically linked", 7, "a static program");
	says(execv(path, args), "statically linked", 7, "by execv");
	says(execl(path, "x", NULL), "statically linked", 7, "by execl");
	says(fexecve(open(path, O_RDONLY), args, none), "statically linked", 7, "by fexecve, named all the same");
	says((posix_spawn(&pid, path, NULL, NULL, args, none), _exit(reap(pid))), "statically linked", 7, "by posix_spawn");
	setenv("PATH", dir, 1);
	says(execvp("prog", args), "statically linked", 7, "found in PATH");
	setenv("PATH", "/usr/bin:/bin", 1);

	snprintf(script, sizeof script, "%s/script", dir);
	FILE *f = fopen(script, "w");
	fprintf(f, "#!%s\n", path);
	fchmod(fileno(f), 0755);
	fclose(f);
	char *program = strdup(path);
	strcpy(path, script);
	says(execv(script, args), "statically linked", 7, "as a script's interpreter");
	strcpy(path, program);

	make_static(path, OTHER, 0);
	says(execv(path, args), "is a program for", 99, "another architecture's");
	make_static(path, OURS, 1);
	says(execv(path, args), "C library", 99, "musl's");

	make_static(path, OURS, 0);
	if (geteuid() == 0) {
		if (chown(path, 12345, 12345) || chmod(path, 04755))
			bail("chown");
		says(execv(path, args), "set-user-ID", 7, "a set-user-ID program");
		chmod(path, 02755);
		says(execv(path, args), "set-group-ID", 7, "a set-group-ID program");
		chmod(path, 0755);
	}

	is_str(complaint(execl("/bin/true", "true", NULL)), "", "no word about a usual program");
	is_int(status_, 0, "which runs");
	char *const out[] = { "LONET_HOST=", NULL };
	is_str(complaint(execve(path, args, out)), "", "nor about what is to be no host");
	is_int(status_, 7, "which runs");
	is_str(complaint((execl("/no/such/file", "x", NULL), _exit(5))), "", "nor about what is not there");
	is_str(complaint((chmod(path, 0644), execl(path, "x", NULL), _exit(5))), "", "nor about what is no program");
	chmod(path, 0755);

	/* Nobody reads: no SIGPIPE. Full: no wait. A socket: no word. */
	int ends[2];
	make_pipe(ends);
	close(ends[0]);
	if ((pid = fork_child()) == 0) {
		dup2(ends[1], STDERR_FILENO);
		execv(path, args);
	}
	is_int(reap(pid), 7, "a pipe without a reader");
	make_pipe(ends);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	while (write(ends[1], script, 1) == 1)
		;
	fcntl(ends[1], F_SETFL, 0);
	if ((pid = fork_child()) == 0) {
		dup2(ends[1], STDERR_FILENO);
		execv(path, args);
	}
	is_int(reap(pid), 7, "a full pipe");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		bail("socketpair");
	if ((pid = fork_child()) == 0) {
		dup2(ends[1], STDERR_FILENO);
		execv(path, args);
	}
	is_int(reap(pid), 7, "a socket");
	is_int(ready(ends[0], POLLIN), 0, "has got nothing");
	if ((pid = fork_child()) == 0) {
		close(STDERR_FILENO);
		execv(path, args);
	}
	is_int(reap(pid), 7, "no stderr at all");

	unlink(path);
	unlink(script);
	rmdir(dir);
	return done();
}
