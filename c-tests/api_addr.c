/* Addresses as text: valid and invalid ones, and formatting as snprintf does. */
#include "api.h"

static void reads(const char *text, const char *host, int port)
{
	struct lonet_addr a = { "before", 7 };
	is_err(lonet_addr_parse(text, &a), 0, "%s is an address", text);
	is_str(a.host, host, "%s: its host", text);
	is_int(a.port, port, "%s: its port", text);
}

static void refuses(const char *text, const char *why)
{
	struct lonet_addr a = { "before", 7 };
	is_fail(lonet_addr_parse(text, &a), EINVAL, "address \"%s\": %s", text, why);
	ok(!strcmp(a.host, "before") && a.port == 7, "and the output stays as it was");
}

int main(void)
{
	char longest[256 + 8], buf[300];
	const char *many = "too many colons, expected host:port, or [host]:port for a host with colons";
	const char *range = "port is not a number from 0 to 65535";

	is_str(lonet_errmsg(), "", "no message before the first failure");
	reads("α:80", "α", 80);
	reads(":10", "", 10);
	reads("[a:b]:1", "a:b", 1);
	reads("α:65535", "α", 65535);
	memset(longest, 'h', 255);
	strcpy(longest + 255, ":1");
	reads(longest, (longest[255] = 0, strcpy(buf, longest), longest[255] = ':', buf), 1);
	is_err(lonet_addr_parse("α:80", NULL), 0, "the output may be NULL");

	refuses("", "no port, expected host:port");
	refuses("α", "no port, expected host:port");
	refuses("a:b:c", many);
	refuses("α:65536", range);
	refuses("α:-1", range);
	refuses("α: 1", range);
	refuses("α:", range);
	memset(longest, 'h', 256);
	strcpy(longest + 256, ":1");
	is_err(lonet_addr_parse(longest, NULL), EINVAL, "a host of 256 bytes");
	is_fail(lonet_addr_parse("\xff\xce:1", NULL), EINVAL,
	        "address \"\\xff\\xce:1\": not UTF-8, expected host:port in UTF-8");
	is_err(lonet_addr_parse(NULL, NULL), EINVAL, "NULL");

	struct lonet_addr a = { "α", 80 };
	is_int(lonet_addr_format(&a, buf, sizeof buf), 5, "the length in bytes");
	is_str(buf, "α:80", "the text");
	is_int(lonet_addr_format(&a, NULL, 0), 5, "no buffer: the length");
	memset(buf, 'x', sizeof buf);
	is_int(lonet_addr_format(&a, buf, 4), 5, "a short buffer: the full length");
	ok(!memcmp(buf, "α:\0x", 5), "what fits, with a zero, and nothing behind it");
	is_int(lonet_addr_format(&a, buf, 1), 5, "room for the zero alone");
	ok(buf[0] == 0 && (unsigned char)buf[1] == 0xb1, "which is written");
	struct lonet_addr colons = { "a:b", 1 };
	is_int(lonet_addr_format(&colons, buf, sizeof buf), 7, "a host with colons");
	is_str(buf, "[a:b]:1", "has brackets");
	is_err(lonet_addr_format(NULL, buf, sizeof buf), EINVAL, "no address");
	is_err(lonet_addr_format(&a, NULL, 10), EINVAL, "no buffer, but a size");
	memset(a.host, 'h', sizeof a.host);
	is_err(lonet_addr_format(&a, buf, sizeof buf), EINVAL, "a host without an end");
	struct lonet_addr bad = { "\xff", 1 };
	is_err(lonet_addr_format(&bad, buf, sizeof buf), EINVAL, "a host that is not UTF-8");

	errno = EXDEV;
	ok(lonet_addr_parse(":1", NULL) == 0 && errno == EXDEV, "success leaves errno alone");
	ok(strchr(lonet_version(), '.') != NULL, "the version is %s", lonet_version());
	return done();
}
