/* A program that a host executes or spawns is the host, whatever its environment, and so is what that
 * program executes; nothing is added twice. */
#include "child.h"
#include <wordexp.h>

extern char **environ;
FILE *_IO_popen(const char *, const char *);

/* Since glibc 2.39. */
typedef int pidfd_spawn_call(int *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
			     char *const *, char *const *);
extern pidfd_spawn_call pidfd_spawn __attribute__((weak)), pidfd_spawnp __attribute__((weak));

/* Who am I, and how often is each of the variables there? "gone": after the same again with no environment. */
static int child(int argc, char **argv)
{
	if (argc > 2) {
		char *const none[] = { NULL }, *const again[] = { argv[0], argv[1], NULL };
		execve(self(), again, none);
	}
	char name[256];
	int hosts = 0, preloads = 0;
	gethostname(name, sizeof name);
	for (char **e = environ; *e; e++) {
		hosts += !strncmp(*e, "LONET_HOST=", 11);
		preloads += !strncmp(*e, "LD_PRELOAD=", 11);
	}
	printf("%s %d %d\n", name, hosts, preloads);
	return 0;
}

static const char *line_of(FILE *f)
{
	static char line[300];
	if (!f || !fgets(line, sizeof line, f))
		bail("popen");
	line[strcspn(line, "\n")] = 0;
	pclose(f);
	return line;
}

/* What wordexp makes of a text with `me` in it. */
__attribute__((format(printf, 1, 0))) static const char *expanded(const char *words, const char *me)
{
	static char text[4200], out[300];
	wordexp_t w;
	snprintf(text, sizeof text, words, me);
	if (wordexp(text, &w, 0) || w.we_wordc != 1)
		bail("wordexp");
	snprintf(out, sizeof out, "%s", w.we_wordv[0]);
	wordfree(&w);
	return out;
}

#define ARGS(...) (char *[]){ "x", "child", ##__VA_ARGS__, NULL }

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "child"))
		return child(argc, argv);
	const char *me = self();
	char host[300], *base = strdup(me), *slash = strrchr(base, '/'), command[4200];
	char *const none[] = { NULL }, *const some[] = { "A=1", "LD_PRELOAD=", "B=2", NULL };
	snprintf(host, sizeof host, "%s.lonet 1 1", getenv("LONET_HOST"));
	snprintf(command, sizeof command, "%s child", me);
	*slash = 0;
	const char *name = slash + 1;
	pid_t pid;

	is_str(said_by(fork, execve(me, ARGS(), environ)), host, "all is there");
	is_str(said_by(fork, execve(me, ARGS(), none)), host, "execve without environment");
	is_str(said_by(fork, execve(me, ARGS(), NULL)), host, "execve with a null one");
	is_str(said_by(fork, execve(me, ARGS(), some)), host, "with one of its own and an empty LD_PRELOAD");
	is_str(said_by(fork, execve(me, ARGS("again"), none)), host, "and again");
	is_str(said_by(vfork, execve(me, ARGS(), none)), host, "in a vfork child");
	is_str(said_by(fork, execle(me, "x", "child", NULL, none)), host, "execle");
	is_str(said_by(fork, fexecve(open(me, O_RDONLY | O_CLOEXEC), ARGS(), none)), host, "fexecve");
	is_str(said_by(fork, execveat(AT_FDCWD, me, ARGS(), none, 0)), host, "execveat");
	is_str(said_by(fork, (posix_spawn(&pid, me, NULL, NULL, ARGS(), none), _exit(0))), host, "posix_spawn");
	setenv("PATH", base, 1);
	int pidfd;
	if (!pidfd_spawn || pidfd_spawn(&pidfd, "/no/such/file", NULL, NULL, ARGS(), none) == ENOSYS) {
		ok(1, "pidfd_spawn is not here # SKIP");
	} else {
		is_str(said_by(fork, (pidfd_spawn(&pidfd, me, NULL, NULL, ARGS(), none), _exit(0))), host, "pidfd_spawn");
		is_str(said_by(fork, (pidfd_spawnp(&pidfd, name, NULL, NULL, ARGS(), none), _exit(0))), host, "pidfd_spawnp");
	}
	is_str(said_by(fork, execvpe(name, ARGS(), none)), host, "execvpe");
	is_str(said_by(fork, (posix_spawnp(&pid, name, NULL, NULL, ARGS(), none), _exit(0))), host, "posix_spawnp");

	unsetenv("LONET_HOST");
	unsetenv("LD_PRELOAD");
	is_str(said_by(fork, execvp(name, ARGS())), host, "execvp, two variables unset");
	is_str(said_by(fork, execlp(name, "x", "child", NULL)), host, "execlp");
	clearenv();
	is_str(said_by(fork, execv(me, ARGS())), host, "execv, all cleared");
	is_str(said_by(fork, execl(me, "x", "child", NULL)), host, "execl");
	is_str(said_by(fork, system(command)), host, "system");
	is_str(line_of(popen(command, "r")), host, "popen");
	is_str(line_of(_IO_popen(command, "r")), host, "_IO_popen");
	is_str(expanded("\"$(%s child)\"", me), host, "wordexp");
	is_str(expanded("\"`%s child`\"", me), host, "wordexp with backquotes");
	ok(!environ || !*environ, "the program's own environment stays cleared");
	setenv("C", "3", 1);
	is_str(said_by(fork, system(command)), host, "system, with a variable");
	is_int(system("true"), 0, "its status is the command's");
	is_str(expanded("\"$(%s child)\"", me), host, "wordexp, with a variable");
	is_str(expanded("is-$LD_PRELOAD$C", me), "is-3", "in which variables are the program's own");
	ok(environ && *environ && !strcmp(*environ, "C=3") && !environ[1], "which is all that there is");

	char *const out[] = { "LONET_HOST=", NULL };
	const char *machine = said_by(fork, execve(me, ARGS(), out));
	ok(strstr(machine, " 1 0") && !strstr(machine, ".lonet"), "an empty LONET_HOST is the way out (%s)", machine);
	char *const other[] = { "LONET_HOST=other", NULL };
	is_str(said_by(fork, execve(me, ARGS(), other)), "other.lonet 1 1", "a host that is given counts");
	return done();
}
