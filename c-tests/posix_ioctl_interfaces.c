/* The requests of netdevice(7) list the interfaces of getifaddrs, with the same addresses, masks, flags and numbers. */
#include "net.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/ioctl.h>

static struct ifaddrs *all;

/* The first entry of getifaddrs that has NAME and the IPv4 address A, or any if A is null; null if none has. */
static struct ifaddrs *find(const char *name, const struct sockaddr *a)
{
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !strcmp(i->ifa_name, name) &&
		    (!a || !memcmp(i->ifa_addr, a, sizeof(struct sockaddr_in))))
			return i;
	return NULL;
}

int main(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), addresses = 0;
	if (fd < 0 || getifaddrs(&all) < 0)
		bail("getifaddrs");
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		addresses += i->ifa_addr && i->ifa_addr->sa_family == AF_INET;

	struct ifconf list = { .ifc_len = 0 };
	is_int(ioctl(fd, SIOCGIFCONF, &list), 0, "without a buffer");
	is_int(list.ifc_len, addresses * (int)sizeof(struct ifreq), "it tells the size of the list");

	/* Room for one more, so that a list that is too long is seen. */
	int size = (addresses + 1) * (int)sizeof(struct ifreq);
	struct ifreq *room = malloc(size);
	list.ifc_len = size;
	list.ifc_req = room;
	errno = 4711;
	is_int(ioctl(fd, SIOCGIFCONF, &list), 0, "with a buffer");
	is_int(errno, 4711, "errno stays as it was");
	int n = list.ifc_len / (int)sizeof *room;
	is_int(n, addresses, "it lists as many addresses as getifaddrs");

	int known = 0, names = 0, address = 0, mask = 0, flags = 0, index = 0, name = 0, mtu = 0;
	for (int i = 0; i < n; i++) {
		struct ifreq r;
		struct ifaddrs *same = find(room[i].ifr_name, &room[i].ifr_addr), *first = find(room[i].ifr_name, NULL);
		known += same != NULL;
		/* One that has several addresses is asked for by its name, which has the first. */
		if (!same || same != first)
			continue;
		/* Behind the name anything may be. */
		memset(&r, 0xa5, sizeof r);
		strcpy(r.ifr_name, room[i].ifr_name);
		names++;
		address += !ioctl(fd, SIOCGIFADDR, &r) && !memcmp(&r.ifr_addr, first->ifa_addr, sizeof r.ifr_addr);
		mask += !ioctl(fd, SIOCGIFNETMASK, &r) && !memcmp(&r.ifr_netmask, first->ifa_netmask, sizeof r.ifr_netmask);
		flags += !ioctl(fd, SIOCGIFFLAGS, &r) && (short)r.ifr_flags == (short)first->ifa_flags;
		mtu += !ioctl(fd, SIOCGIFMTU, &r) && r.ifr_mtu > 0;
		index += !ioctl(fd, SIOCGIFINDEX, &r) && (unsigned)r.ifr_ifindex == if_nametoindex(r.ifr_name);
		memset(r.ifr_name, 0, sizeof r.ifr_name);
		name += !ioctl(fd, SIOCGIFNAME, &r) && !strcmp(r.ifr_name, room[i].ifr_name);
	}
	is_int(known, n, "getifaddrs has all of them");
	is_int(address, names, "SIOCGIFADDR has the first address of each name");
	is_int(mask, names, "SIOCGIFNETMASK has its mask");
	is_int(flags, names, "SIOCGIFFLAGS has their flags");
	is_int(mtu, names, "SIOCGIFMTU knows them");
	is_int(index, names, "SIOCGIFINDEX has the number of if_nametoindex");
	is_int(name, names, "SIOCGIFNAME finds the name by it");

	list.ifc_len = sizeof *room + 1;
	ok(!ioctl(fd, SIOCGIFCONF, &list) && list.ifc_len == sizeof *room, "a list that has no room is cut off");
	struct ifreq other = { .ifr_name = "no-such-if" };
	is_int(ioctl(fd, SIOCGIFADDR, &other), -1, "an interface that is not there");
	is_int(errno, ENODEV, "is ENODEV");
	is_int(ioctl(fd, SIOCGIFCONF, (void *)8), -1, "a list that is not there");
	is_int(errno, EFAULT, "is EFAULT");
	list.ifc_len = size;
	list.ifc_buf = (void *)8;
	is_int(ioctl(fd, SIOCGIFCONF, &list), -1, "a buffer that is not there");
	is_int(errno, EFAULT, "is EFAULT");

	int local = socket(AF_UNIX, SOCK_STREAM, 0), refused = 0;
	for (int i = 0; i < n; i++)
		refused += ioctl(local, SIOCGIFADDR, &room[i]) == -1 && errno == ENOTTY;
	is_int(refused, n, "a socket without IPv4 tells no IPv4 address");
	close(local);

	int file = open("/dev/null", O_RDONLY);
	list.ifc_req = room;
	for (int i = 0; i < n; i++)
		if (ioctl(file, SIOCGIFCONF, &list) != -1 || errno != ENOTTY || ioctl(file, SIOCGIFADDR, &room[i]) != -1 ||
		    errno != ENOTTY)
			return 1;
	ok(1, "what is no socket has no interfaces");
	close(fd);
	is_int(ioctl(fd, SIOCGIFCONF, &list), -1, "nor has what is not open");
	is_int(errno, EBADF, "is EBADF");
	free(room);
	freeifaddrs(all);
	return done();
}
