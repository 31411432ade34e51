/* getifaddrs and if_nameindex list the same interfaces; one of them is the loopback; libc frees the lists. */
#include "net.h"
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netpacket/packet.h>

int main(void)
{
	struct ifaddrs *all;
	int loopback = 0, links = 0, unknown = 0, odd = 0;
	errno = 4711;
	if (getifaddrs(&all) < 0)
		bail("getifaddrs");
	is_int(errno, 4711, "errno stays as it was");
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		unknown += if_nametoindex(i->ifa_name) == 0;
		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_PACKET) {
			struct sockaddr_ll link;
			memcpy(&link, i->ifa_addr, sizeof link);
			links++;
			odd += (unsigned)link.sll_ifindex != if_nametoindex(i->ifa_name) || !i->ifa_data;
		} else if (i->ifa_addr->sa_family == AF_INET) {
			union sa a;
			memcpy(&a.v4, i->ifa_addr, sizeof a.v4);
			loopback += !strcmp(text(&a), "127.0.0.1:0") && i->ifa_flags & IFF_LOOPBACK && i->ifa_flags & IFF_UP;
			odd += !i->ifa_netmask || i->ifa_netmask->sa_family != AF_INET;
		}
	}
	is_int(loopback, 1, "127.0.0.1 is a loopback's");
	ok(links > 0, "links are listed");
	is_int(unknown, 0, "if_nametoindex knows all of them");
	is_int(odd, 0, "links have their index, addresses their netmask");

	struct if_nameindex *index = if_nameindex();
	int n = 0, same = 0;
	for (struct if_nameindex *i = index; i->if_index; i++, n++) {
		char name[IF_NAMESIZE];
		same += if_indextoname(i->if_index, name) == name && !strcmp(name, i->if_name) &&
			if_nametoindex(name) == i->if_index;
	}
	is_int(same, n, "if_nameindex, if_nametoindex and if_indextoname agree");
	is_int(n, links, "and getifaddrs has as many links");
	if_freenameindex(index);

	char name[IF_NAMESIZE];
	is_int(if_nametoindex("no-such-if"), 0, "a name that is not there");
	is_int(errno, ENODEV, "is ENODEV");
	ok(!if_indextoname(0x7ffffff0, name), "an index that is not there");
	is_int(errno, ENXIO, "is ENXIO");

	void (*libc_free)(struct ifaddrs *) = (void (*)(struct ifaddrs *))dlsym(dlopen("libc.so.6", RTLD_NOW), "freeifaddrs");
	libc_free(all);
	ok(1, "libc's own freeifaddrs frees it");
	return done();
}
