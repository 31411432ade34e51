/* lonet.hh - lonet.h with owners, as an example for C++ programs: networks, hosts and descriptors end with their
 * scope, and failures are std::system_error with lonet_errmsg's text. */
#ifndef LONET_HH
#define LONET_HH

#include <lonet.h>
#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace lonet {

inline int check(int result)
{
	if (result < 0)
		throw std::system_error(errno, std::generic_category(), lonet_errmsg());
	return result;
}

class Descriptor {
public:
	explicit Descriptor(int fd) : fd_(check(fd)) {}
	Descriptor(Descriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	Descriptor &operator=(Descriptor &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	~Descriptor()
	{
		if (fd_ >= 0)
			close(fd_);
	}
	int get() const { return fd_; }

private:
	int fd_;
};

inline std::string text(const lonet_addr &a)
{
	std::string out(static_cast<size_t>(check(lonet_addr_format(&a, nullptr, 0))), '\0');
	lonet_addr_format(&a, &out[0], out.size() + 1);
	return out;
}

inline std::string local(const Descriptor &d)
{
	lonet_addr a;
	check(lonet_local_addr(d.get(), &a));
	return text(a);
}

inline std::string peer(const Descriptor &d)
{
	lonet_addr a;
	check(lonet_peer_addr(d.get(), &a));
	return text(a);
}

class Host {
public:
	Host(lonet_net *net, const std::string &name, int flags = 0)
	{
		lonet_host *host;
		check(lonet_host_new(net, name.c_str(), flags, &host));
		host_.reset(host);
	}
	Descriptor listen(const std::string &laddr = "", int backlog = 128)
	{
		return Descriptor(lonet_listen(host_.get(), laddr.c_str(), backlog));
	}
	Descriptor dial(const std::string &addr, int timeout_ms = -1)
	{
		return Descriptor(lonet_dial(host_.get(), addr.c_str(), timeout_ms));
	}
	std::string name() const { return lonet_host_name(host_.get()); }

private:
	struct Close {
		void operator()(lonet_host *host) const { lonet_host_close(host); }
	};
	std::unique_ptr<lonet_host, Close> host_;
};

class Net {
public:
	explicit Net(const std::string &name = "")
	{
		lonet_net *net;
		check(lonet_join(name.c_str(), &net));
		net_.reset(net);
	}
	Host host(const std::string &name, int flags = 0) { return Host(net_.get(), name, flags); }
	std::string name() const { return lonet_network(net_.get()); }

private:
	struct Leave {
		void operator()(lonet_net *net) const { lonet_leave(net); }
	};
	std::unique_ptr<lonet_net, Leave> net_;
};

} // namespace lonet

#endif
