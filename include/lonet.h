/* lonet.h - hosts of a simulated TCP network in a C or C++ program.
 *
 * A lonet network is a set of hosts with names and ports of their own on top of localhost. A program joins one,
 * makes hosts, and listens, accepts and dials as them. Unmodified programs that were started with `lonet run`
 * are hosts of the same network. Link with -llonet; see lonet(3) and `pkg-config --cflags --libs lonet`.
 *
 * CONVENTIONS
 *
 * Results.  A function that returns int gives 0, a length or a descriptor, or -1 with errno set; one that returns
 *     a string gives NULL with errno set. When a function succeeds errno stays as it was. lonet_errmsg() says what
 *     failed, to whom and why.
 *
 * Errno.  Each function lists what it can give. In every list stand, silently, ENOMEM (out of memory, also: too
 *     many handles) and EIO (internal error of lonet, which is worth a report). The texts are these:
 *
 *         EINVAL          invalid argument
 *         EBADF           not a descriptor
 *         ENOTSOCK        not a socket
 *         ENOTCONN        not connected
 *         EEXIST          host already registered
 *         EADDRINUSE      address already in use
 *         EADDRNOTAVAIL   not an address of this host
 *         ECONNREFUSED    connection refused
 *         EHOSTUNREACH    no such host
 *         ETIMEDOUT       connection timed out
 *         ECONNRESET      connection reset by peer
 *         ENETDOWN        network is down
 *         EHOSTDOWN       host is down
 *         EPROTO          protocol error
 *         EAGAIN          no connection waits
 *         EINTR           interrupted by a signal
 *         ECONNABORTED    connection aborted
 *         EMFILE          too many open files
 *         ENFILE          too many open files in the system
 *         ENOMEM          out of memory
 *         EACCES          permission denied
 *         ENOENT          no such directory
 *         ENAMETOOLONG    path too long
 *         ENOSPC          no space left on device
 *         EIO             internal error of lonet
 *
 * Arguments.  Strings are UTF-8 and end in a zero byte. NULL where a handle or an input is expected is EINVAL, but
 *     for the two places below that give it a meaning.
 *
 * Outputs.  Where a function stores something through a pointer, the pointer may be NULL. It stores on success
 *     only, and all or nothing.
 *
 * Ownership.  lonet_join and lonet_host_new make handles, lonet_leave and lonet_host_close end them. A handle that
 *     was ended is recognised for as long as the process lives: its use is EHOSTDOWN or ENETDOWN, and does no harm.
 *     A string that a function returns belongs to its handle and ends with it; that of lonet_errmsg is the thread's
 *     and holds until the thread's next failure. Descriptors belong to the caller, from the moment at which they
 *     are returned: they are plain sockets for read, write, poll, epoll, sendfile, dup, fork and close. They are
 *     inherited by exec, as those of socket(2) and accept(2), where no flag says otherwise. Closing the last
 *     descriptor of a socket frees its port, whoever does it, in whichever process.
 *
 * Threads.  All functions may be called by all threads at once. What ends a handle may be called while others use
 *     it: they return EHOSTDOWN or ENETDOWN.
 *
 * Fork.  A child has its parent's handles and descriptors, and they work. What it makes with them is its own: the
 *     parent does not end it, and a child that ends a host leaves the parent's sockets alone.
 *
 * Signals.  Like the socket calls that they stand for, these are async-signal-safe: lonet_listen, lonet_accept,
 *     lonet_dial, lonet_dial_start, lonet_local_addr, lonet_peer_addr, lonet_addr_parse, lonet_addr_format,
 *     lonet_network, lonet_host_name, lonet_version. Only lonet_accept is a cancellation point.
 *
 * Addresses.  "host:port", with the host in brackets if it has colons itself, and a port from 0 to 65535 in decimal.
 *     ":port" leaves the host to the function: it is the host that listens or dials.
 */
#ifndef LONET_H
#define LONET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lonet_net lonet_net;   /* a network that the process has joined */
typedef struct lonet_host lonet_host; /* a host of it that the process is */

/* A lonet address. */
struct lonet_addr {
	char host[256]; /* UTF-8, ends in a zero byte */
	uint16_t port;  /* in the byte order of the machine */
};

/* Flags of lonet_host_new. */
enum {
	LONET_SHARE = 1,    /* be the host also if it is up already */
	LONET_TCP_PORTS = 2 /* accepted connections have their listener's port */
};

/* Joins a network, and starts it if need be; NULL or "": a new one with a random name of its own. The network is
 * that of `lonet run --network NAME`: TMPDIR and the LONET_ variables of the environment say where it is. It ends by
 * itself a few seconds after the last process has left it.
 *
 * EINVAL: not a network's name, or a variable that makes no sense. ENOENT: TMPDIR is not there. ENAMETOOLONG: it
 * is no path. EACCES: the network's directory is another user's, open to others or not writable.
 * ENETDOWN: the network cannot be started, or its daemon does not answer. EPROTO: its daemon is of another version.
 * EMFILE, ENFILE, ENOSPC. */
int lonet_join(const char *network, lonet_net **net);

/* The network's full name: "lonetmynet" for mynet. EINVAL, ENETDOWN: it was left. */
const char *lonet_network(const lonet_net *net);

/* Leaves a network: closes all hosts that were made with this handle, and ends it. Descriptors stay open.
 *
 * EINVAL, ENETDOWN: it was left before. EMFILE, ENFILE: without a descriptor nothing can be ended, and nothing
 * was. */
int lonet_leave(lonet_net *net);

/* Makes a host, which is up from now on until it is closed or the process ends. Its ports are free, from 1 on.
 * Accepted connections take its first free port; with LONET_TCP_PORTS they have their listener's, as TCP has it.
 * Whoever asks for no port gets the first free one, each time; on hosts of unmodified programs bind(2) to port 0 does
 * not give a process twice what it has closed unused (lonet(7)).
 * With LONET_SHARE it may be a host that is up already, whoever made it, and keeps its way with ports.
 *
 * The name is that of a DNS label, 1 to 63 bytes, in UTF-8 or in its xn-- form; names that differ in case alone are
 * the same.
 *
 * EINVAL: not a host's name, unknown flags. EEXIST: the name is taken. ENETDOWN. EADDRNOTAVAIL: the network has
 * 65,279 hosts. EPROTO, EMFILE, ENFILE. */
int lonet_host_new(lonet_net *net, const char *name, int flags, lonet_host **host);

/* The host's name, as it was given. EINVAL, EHOSTDOWN: it was closed. ENETDOWN: its network was left. */
const char *lonet_host_name(const lonet_host *host);

/* Closes a host: shuts down its listeners and connections that this process has made, so that peers see the end and
 * a blocked lonet_accept returns EHOSTDOWN, frees its ports, and ends the handle. Descriptors stay open. Where the
 * process has other handles of the same host (LONET_SHARE), the last of them does this.
 *
 * EINVAL, EHOSTDOWN, ENETDOWN: it was closed before. EMFILE, ENFILE: without a descriptor nothing can be ended, and
 * nothing was. */
int lonet_host_close(lonet_host *host);

/* A descriptor that listens on laddr: ":10" or "α:10", where the host is this one; "", ":0" or "α:0" take the first
 * free port. It is readable when a connection waits. backlog is as in listen(2).
 *
 * EINVAL: not an address. EADDRNOTAVAIL: another host's. EADDRINUSE: the port is held, or none is free. EHOSTDOWN,
 * ENETDOWN, EPROTO, EACCES, EMFILE, ENFILE. */
int lonet_listen(lonet_host *host, const char *laddr, int backlog);

/* A descriptor of the next connection, waiting for one unless lfd is non-blocking, and the addresses of both ends.
 * flags are SOCK_NONBLOCK and SOCK_CLOEXEC, as in accept4(2). accept(2) takes the connection as well.
 *
 * EBADF, ENOTSOCK, EINVAL: lfd does not listen, or is no lonet socket; unknown flags. EAGAIN: nothing waits on a
 * non-blocking lfd. EINTR: a signal without SA_RESTART. ECONNABORTED: the connection has gone and left no name, or was
 * another user's or of somebody who cannot be identified, and nobody else was there. EHOSTDOWN: its host was closed.
 * ENETDOWN: its network was left, or the network's daemon does not answer. EMFILE, ENFILE: there are not two
 * descriptors, one of them for a moment; the connection goes on waiting. EPROTO, EACCES. */
int lonet_accept(int lfd, int flags, struct lonet_addr *local, struct lonet_addr *peer);

/* A connection to addr from the host's first free port; within timeout_ms milliseconds, the network's daemon
 * included; 0: without waiting for the peer; -1: no limit. Signals do not interrupt it.
 *
 * ECONNREFUSED: nothing listens there. EHOSTUNREACH: no host of this name is up. ETIMEDOUT. EINVAL: not an address,
 * timeout_ms below -1. EADDRINUSE: no port is free. ECONNRESET: the peer has ended it at once. EHOSTDOWN, ENETDOWN:
 * the caller's own. EPROTO, EACCES, EMFILE, ENFILE. */
int lonet_dial(lonet_host *host, const char *addr, int timeout_ms);

/* The same without waiting: a descriptor with O_NONBLOCK that is writable when the dial is over; SO_ERROR is then 0
 * or one of lonet_dial's errors. What is known at once fails at once. */
int lonet_dial_start(lonet_host *host, const char *addr);

/* The lonet address of a descriptor, whoever made it: this API, or socket calls of a program under lonet. A caller
 * from outside lonet has an IP address for a host.
 *
 * EBADF, ENOTSOCK, EINVAL: not a lonet socket. ENETDOWN: its network was left, or the network's daemon does not
 * answer. EPROTO, EACCES, EMFILE, ENFILE. */
int lonet_local_addr(int fd, struct lonet_addr *addr);

/* That of its peer. The same errors; ENOTCONN: it has none. */
int lonet_peer_addr(int fd, struct lonet_addr *addr);

/* Reads an address. The host is empty in ":port". EINVAL: no address, a host of more than 255 bytes, no UTF-8. */
int lonet_addr_parse(const char *text, struct lonet_addr *addr);

/* Writes an address as snprintf does: at most size bytes with the closing zero; the full length without it. buf may
 * be NULL if size is 0. EINVAL: a host without an end or not in UTF-8. */
int lonet_addr_format(const struct lonet_addr *addr, char *buf, size_t size);

/* Makes the plain socket calls of this process (bind, connect, getaddrinfo and so on) those of a host, as LONET_HOST
 * does for a program under lonet. NULL: as before the first call, which is none in a program that was not started
 * under lonet: it keeps its own socket calls as they are. Closing the host is the same as NULL.
 *
 * EINVAL, EHOSTDOWN, ENETDOWN: the host was closed. */
int lonet_set_default_host(lonet_host *host);

/* What the last failure of this thread was: a path with addresses and a reason, such as
 *
 *     dial lonetmynet β:1->α:11: connection refused
 *
 * "" before the first one; never NULL. */
const char *lonet_errmsg(void);

/* The version of the library: "0.1.0". */
const char *lonet_version(void);

#ifdef __cplusplus
}
#endif

#endif
