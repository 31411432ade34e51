/* An echo server in a thread of its own and ten clients, in C++ threads: ports count up, text comes back. */
#include "api.h"
#include "lonet.hh"
#include <string>
#include <thread>
#include <vector>

static void serve(const lonet::Descriptor &listener, int connections)
{
	std::vector<std::thread> all;
	for (int i = 0; i < connections; i++) {
		int fd = lonet_accept(listener.get(), SOCK_CLOEXEC, nullptr, nullptr);
		all.emplace_back([fd] {
			lonet::Descriptor connection(fd);
			char buf[64];
			ssize_t n;
			while ((n = recv(fd, buf, sizeof buf, 0)) > 0)
				send(fd, buf, static_cast<size_t>(n), MSG_NOSIGNAL);
		});
	}
	for (auto &thread : all)
		thread.join();
}

int main()
{
	const int clients = 10;
	lonet::Net net;
	lonet::Host server = net.host("server"), client = net.host("client");
	lonet::Descriptor listener = server.listen(":7");
	std::thread serving(serve, std::cref(listener), clients);
	{
		std::vector<lonet::Descriptor> all;
		for (int i = 1; i <= clients; i++) {
			all.push_back(client.dial("server:7", 10000));
			std::string want = "client:" + std::to_string(i), text = "hello " + want, got(text.size(), '\0');
			is_str(lonet::local(all.back()).c_str(), want.c_str(), "client %d", i);
			send(all.back().get(), text.data(), text.size(), MSG_NOSIGNAL);
			recv(all.back().get(), &got[0], got.size(), MSG_WAITALL);
			is_str(got.c_str(), text.c_str(), "its text comes back");
		}
	}
	serving.join();
	lonet::Descriptor next = client.dial("server:7");
	is_str(lonet::local(next).c_str(), "client:1", "all ports are free again");
	return done();
}
