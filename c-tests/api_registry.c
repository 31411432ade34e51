/* With an invalid registry.db, making a host fails with a message, and everything else works. */
#include "api.h"
#include <sys/stat.h>

static char dir[4096];

/* The network's directory, with what a line of Python makes of its registry.db, named `path` there. */
static void prepare(const char *network, const char *python)
{
	char parent[4096 - 100];
	snprintf(parent, sizeof parent, "%s/lonet", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdir(parent, 01777) == 0)
		chmod(parent, 01777);
	snprintf(dir, sizeof dir, "%s/%s", parent, network);
	if (mkdir(dir, 0700) < 0)
		bail("mkdir %s", dir);
	pid_t pid = fork_child();
	if (pid == 0) {
		char code[2000];
		snprintf(code, sizeof code, "import os, sqlite3, sys\npath = sys.argv[1] + '/registry.db'\n%s\n", python);
		execlp("python3", "python3", "-c", code, dir, (char *)NULL);
		_exit(127);
	}
	if (reap(pid))
		bail("python3");
}

static void refuses(const char *network, const char *why)
{
	lonet_net *net = joined(network);
	int free_fd = lowest_free();
	lonet_host *h = NULL;
	is_err(lonet_host_new(net, "α", 0, &h), EPROTO, "%s: a host cannot be made", network);
	ok(strstr(lonet_errmsg(), "registry.db") && strstr(lonet_errmsg(), why), "it says: %s", lonet_errmsg());
	ok(h == NULL && lowest_free() == free_fd, "nothing is left");
	is_err(lonet_leave(net), 0, "leaving");
	char path[4200];
	snprintf(path, sizeof path, "%s/registry.db", dir);
	struct stat st;
	ok(stat(path, &st) == 0 && st.st_size > 0, "the file is still there");
	unlink(path);
	rmdir(dir);
}

#define TABLES "db = sqlite3.connect(path)\n" \
	"db.execute('CREATE TABLE hosts (hostname TEXT PRIMARY KEY, osladdr TEXT)')\n" \
	"db.execute('CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)')\n"

int main(void)
{
	prepare("no-database", "open(path, 'w').write('this is no database, but it is long enough to look at' * 100)");
	refuses("no-database", "database");
	prepare("another-network", TABLES
	        "db.execute(\"INSERT INTO meta VALUES ('schemaver', 'lonet.1'), ('network', 'other')\")\ndb.commit()");
	refuses("another-network", "other");
	prepare("another-schema", TABLES
	        "db.execute(\"INSERT INTO meta VALUES ('schemaver', 'lonet.9'), ('network', 'another-schema')\")\n"
	        "db.commit()");
	refuses("another-schema", "lonet.9");
	return done();
}
