/* Owners in C++ (lonet.hh): what goes out of scope is closed, and failures are exceptions. */
#include "api.h"
#include "lonet.hh"
#include <string>

static std::string failure(lonet::Host &host, const std::string &addr, int want)
{
	try {
		host.dial(addr);
	} catch (const std::system_error &e) {
		return e.code().value() == want ? e.what() : "another error";
	}
	return "no failure";
}

int main()
{
	int free_fd = lowest_free();
	{
		lonet::Net net;
		std::string n = net.name();
		lonet::Host b = net.host("β");
		{
			lonet::Host a = net.host("α");
			is_str(a.name().c_str(), "α", "a host");
			lonet::Descriptor l = a.listen();
			lonet::Descriptor d = b.dial("α:1");
			lonet::Descriptor s(lonet_accept(l.get(), 0, nullptr, nullptr));
			is_str(lonet::local(s).c_str(), "α:2", "its accepted connection");
			is_str(lonet::peer(s).c_str(), "β:1", "its peer");
			std::string refused = failure(b, "α:11", ECONNREFUSED);
			ok(refused.find("dial " + n + " β:2->α:11: connection refused") == 0, "%s", refused.c_str());
		}
		std::string gone = failure(b, "α:1", EHOSTUNREACH);
		ok(gone.find("dial " + n + " β:1->α:1: no such host") == 0, "%s", gone.c_str());
		lonet::Host again = net.host("α");
		is_str(lonet::local(again.listen()).c_str(), "α:1", "the name and the port are free again");
	}
	is_int(lowest_free(), free_fd, "no descriptor is left");
	return done();
}
