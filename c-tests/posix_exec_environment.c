/* exec and posix_spawn pass on what they are given: all arguments, whatever their number, and all
 * variables in their order, without writing to either. */
#include "child.h"

extern char **environ;

/* Prints arguments, then the variables that begin with V, and those of D twice. */
static int child(int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		printf("%s ", argv[i]);
	printf("|");
	for (char **e = environ; *e; e++)
		if (**e == 'V')
			printf(" %s", *e);
	printf("\n");
	return 0;
}

static char *const few[] = { "V2=b", "V1=a", "OTHER=", "V2=again", "V", "V=", NULL };
#define FEW "V2=b V1=a V2=again V V="
#define ARGS(...) (char *[]){ "x", "child", ##__VA_ARGS__, NULL }

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "child"))
		return child(argc, argv);
	const char *me = self();
	char *base = strdup(me), *slash = strrchr(base, '/');
	*slash = 0;
	setenv("PATH", base, 1);
	const char *name = slash + 1;
	pid_t pid;

	is_str(said_by(fork, execve(me, ARGS("a"), few)), "a | " FEW, "execve");
	is_str(said_by(vfork, execve(me, ARGS("a"), few)), "a | " FEW, "execve in a vfork child");
	is_str(said_by(fork, execvpe(name, ARGS("a", "b"), few)), "a b | " FEW, "execvpe");
	is_str(said_by(fork, fexecve(open(me, O_RDONLY | O_CLOEXEC), ARGS(), few)), "| " FEW, "fexecve");
	is_str(said_by(fork, execveat(AT_FDCWD, me, ARGS(), few, 0)), "| " FEW, "execveat");
	is_str(said_by(fork, execveat(open(me, O_RDONLY | O_CLOEXEC), "", ARGS(), few, AT_EMPTY_PATH)), "| " FEW,
	       "execveat of an open file");
	is_str(said_by(fork, (posix_spawn(&pid, me, NULL, NULL, ARGS("a"), few), _exit(0))), "a | " FEW, "posix_spawn");
	is_str(said_by(fork, (posix_spawnp(&pid, name, NULL, NULL, ARGS("a"), few), _exit(0))), "a | " FEW, "posix_spawnp");
	is_str(said_by(fork, execve(me, ARGS(), NULL)), "|", "no environment");
	is_str(said_by(fork, execle(me, "x", "child", NULL, few)), "| " FEW, "execle");
	is_str(said_by(fork, execle(me, "x", "child", "1", "2", "3", "4", "5", "6", "7", "8", "9", NULL, few)),
	       "1 2 3 4 5 6 7 8 9 | " FEW, "execle with many arguments");

	clearenv();
	setenv("V", "own", 1);
	setenv("PATH", base, 1);
	is_str(said_by(fork, execv(me, ARGS("a"))), "a | V=own", "execv");
	is_str(said_by(fork, execvp(name, ARGS("a"))), "a | V=own", "execvp");
	is_str(said_by(fork, execl(me, "x", "child", NULL)), "| V=own", "execl");
	is_str(said_by(fork, execl(me, "x", "child", "1", NULL)), "1 | V=own", "execl with 1 argument");
	is_str(said_by(fork, execl(me, "x", "child", "1", "2", NULL)), "1 2 | V=own", "execl with 2 arguments");
	is_str(said_by(fork, execl(me, "x", "child", "1", "2", "3", NULL)), "1 2 3 | V=own", "execl with 3 arguments");
	is_str(said_by(fork, execl(me, "x", "child", "1", "2", "3", "4", NULL)), "1 2 3 4 | V=own",
	       "execl with 4 arguments");
	is_str(said_by(vfork, execlp(name, "x", "child", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12",
				     "13", "14", "15", "16", "17", "18", "19", "20", NULL)),
	       "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 | V=own", "execlp with 20 arguments, after vfork");
	environ = NULL;
	is_str(said_by(fork, execv(me, ARGS())), "|", "environ is null");

	enum { MANY = 3000 };
	static char texts[MANY][16], *many[MANY + 1];
	static char want[65536] = "|";
	for (int i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof texts[i], "V%d=%d", i, i);
		many[i] = texts[i];
		sprintf(want + strlen(want), " %s", texts[i]);
	}
	is_str(said_by(fork, execve(me, ARGS(), many)), want, "%d variables", MANY);

	int same = 1;
	for (int i = 0; i < MANY; i++)
		same = same && many[i] == texts[i];
	ok(same && !many[MANY], "the array of the caller is as it was");

	/* Errors, errno and what goes on afterwards. */
	is_err(execve("/no/such/file", ARGS(), few), ENOENT, "execve of what is not there");
	is_err(execve("/etc/passwd", ARGS(), few), EACCES, "of what is no program");
	is_err(execve("/etc", ARGS(), few), EACCES, "of a directory");
	is_err(execl("/no/such/file", "x", "1", "2", "3", "4", "5", "6", NULL), ENOENT, "execl of what is not there");
	is_err(execvp("no-such-program", ARGS()), ENOENT, "execvp of what is not in PATH");
	const char *volatile nothing = NULL;
	is_err(execve(nothing, ARGS(), few), EFAULT, "of nothing");
	is_int(posix_spawn(&pid, "/no/such/file", NULL, NULL, ARGS(), few), ENOENT, "posix_spawn answers with the error");
	return done();
}
