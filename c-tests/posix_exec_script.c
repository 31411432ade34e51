/* execvp passes a file of unknown format to the shell; scripts and their interpreters are found. */
#include "child.h"
#include <sys/stat.h>

static void script(const char *path, const char *content)
{
	FILE *f = fopen(path, "w");
	fputs(content, f);
	fchmod(fileno(f), 0755);
	fclose(f);
}

int main(void)
{
	char dir[] = "/tmp/exec_script.XXXXXX", plain[64], lined[64];
	if (!mkdtemp(dir))
		bail("mkdtemp");
	snprintf(plain, sizeof plain, "%s/plain", dir);
	snprintf(lined, sizeof lined, "%s/lined", dir);
	script(plain, "echo plain $1\n");
	script(lined, "#! /bin/sh -e\necho lined $1\n");
	char *const args[] = { "x", "1", NULL }, *const none[] = { NULL };
	is_str(said_by(fork, execvp(plain, args)), "plain 1", "execvp of a file without #!");
	is_str(said_by(fork, execvpe(plain, args, none)), "plain 1", "execvpe of one");
	is_str(said_by(fork, execlp(plain, "x", "1", NULL)), "plain 1", "execlp of one");
	is_str(said_by(fork, execve(lined, args, none)), "lined 1", "execve of one with #!");
	setenv("PATH", dir, 1);
	is_str(said_by(fork, execvp("plain", args)), "plain 1", "found in PATH");
	is_err(execve(plain, args, none), ENOEXEC, "execve refuses the one without");
	unlink(plain);
	unlink(lined);
	rmdir(dir);
	return done();
}
