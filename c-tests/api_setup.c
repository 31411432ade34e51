/* Networks that cannot be joined: the errors about their directories. */
#include "api.h"
#include <sys/stat.h>

static char tmp[4096];

/* A directory for networks inside of the test's. */
static const char *dir(const char *name)
{
	static char path[8192];
	snprintf(path, sizeof path, "%s/%s", tmp, name);
	if (mkdir(path, 0755) < 0)
		bail("mkdir %s", path);
	setenv("TMPDIR", path, 1);
	return path;
}

static void fails(int want, const char *what)
{
	int free_fd = lowest_free();
	lonet_net *net = NULL;
	is_err(lonet_join("mynet", &net), want, "%s", what);
	ok(!strncmp(lonet_errmsg(), "join", 4), "it says: %s", lonet_errmsg());
	ok(net == NULL && lowest_free() == free_fd, "nothing is left");
}

int main(void)
{
	char path[16384];
	snprintf(tmp, sizeof tmp, "%s/XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(tmp))
		bail("mkdtemp");
	unsetenv("LONET_DIR");
	unsetenv("LONET_NETWORK");

	setenv("TMPDIR", "/nowhere/at/all", 1);
	fails(ENOENT, "TMPDIR is not there");
	setenv("TMPDIR", "not/absolute", 1);
	fails(EINVAL, "TMPDIR is not absolute");
	setenv("TMPDIR", "/dev/null", 1);
	fails(ENOENT, "TMPDIR is no directory");

	memset(path, 't', 300);
	path[0] = '/', path[300] = 0;
	setenv("TMPDIR", path, 1);
	fails(ENAMETOOLONG, "TMPDIR is no path");
	const char *at = dir("tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt");
	is_err(lonet_leave(joined("mynet")), 0, "a path that is too long for a socket's address is joined and left");

	at = dir("open");
	snprintf(path, sizeof path, "%s/lonet", at);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/lonet/mynet", at);
	mkdir(path, 0755);
	chmod(path, 0777);
	fails(EACCES, "a network's directory that is open to others");
	if (geteuid() == 0) {
		chmod(path, 0700);
		if (chown(path, 12345, 12345) < 0)
			bail("chown");
		fails(EACCES, "a network's directory of another user");
	} else {
		at = dir("sealed");
		chmod(at, 0555);
		fails(EACCES, "TMPDIR is not writable");
	}

	dir("file");
	snprintf(path, sizeof path, "%s/lonet", getenv("TMPDIR"));
	close(creat(path, 0600));
	is_err(lonet_leave(joined("mynet")), 0, "with a file in the place of the directory, joined and left beside it");
	dir("files");
	snprintf(path, sizeof path, "%s/lonet", getenv("TMPDIR"));
	close(creat(path, 0600));
	snprintf(path, sizeof path, "%s/lonet-%u", getenv("TMPDIR"), (unsigned)geteuid());
	close(creat(path, 0600));
	fails(EACCES, "files in the places of both directories");

	dir("bin");
	setenv("LONET_BIN", "/nowhere/lonet", 1);
	fails(ENETDOWN, "no lonet command");
	setenv("LONET_BIN", "/bin/false", 1);
	fails(ENETDOWN, "a command that is not lonet");
	unsetenv("LONET_BIN");
	setenv("LONET_AUTOBIND", "0", 1);
	fails(EINVAL, "a variable that makes no sense");
	unsetenv("LONET_AUTOBIND");

	lonet_net *net = joined("mynet");
	is_str(lonet_network(net), "lonetmynet", "with all that mended it is joined");
	is_err(lonet_leave(net), 0, "and left");
	return done();
}
