/* lonet.h - hosts of a simulated TCP network in a C or C++ program.
 *
 * A lonet network is a set of hosts with names and ports of their own on top of localhost. A program joins one,
 * makes hosts, and listens, accepts and dials as them. Unmodified programs that were started with `lonet run`
 * are hosts of the same network. Link with -llonet; see lonet(3) and `pkg-config --cflags --libs lonet`.
 *
 * CONVENTIONS
 *
 * Results.  A function that returns int returns 0, a length or a descriptor, or -1 with errno set; one that returns
 *     a string returns NULL with errno set on failure. On success errno is not changed. lonet_errmsg() says what
 *     failed, with the addresses and the reason.
 *
 * Errno.  Each function lists its errors. Every function may also fail with ENOMEM (out of memory, or too many
 *     handles) and EIO (internal error of lonet: please report it). The texts are these:
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
 * Arguments.  Strings are UTF-8 and end in a zero byte. NULL for a handle or an input is EINVAL, except where a
 *     function below gives it a meaning.
 *
 * Outputs.  Where a function stores a result through a pointer, the pointer may be NULL. Results are stored only on
 *     success, and then completely.
 *
 * Ownership.  lonet_join and lonet_host_new make handles, lonet_leave and lonet_host_close end them. Using a handle
 *     that was ended is detected for as long as the process lives: it fails with EHOSTDOWN or ENETDOWN, and does no
 *     harm. A string that a function returns belongs to its handle and ends with it; that of lonet_errmsg belongs to
 *     the thread and is valid until the thread's next failure. Descriptors belong to the caller as soon as they are
 *     returned: they are plain sockets for read, write, poll, epoll, sendfile, dup, fork and close. They are
 *     inherited by exec, like those of socket(2) and accept(2), unless a flag says otherwise. Closing the last
 *     descriptor of a socket, in whichever process, frees its port.
 *
 * Threads.  All functions may be called by all threads at once. A handle may be ended while other calls use it: they
 *     return EHOSTDOWN or ENETDOWN.
 *
 * Fork.  A child can use its parent's handles and descriptors. Hosts and sockets that it makes with them are its own:
 *     the parent does not end them, and a child that ends a host leaves the parent's sockets alone.
 *
 * Signals.  Like the socket calls that they replace, these are async-signal-safe: lonet_listen, lonet_accept,
 *     lonet_dial, lonet_dial_start, lonet_local_addr, lonet_peer_addr, lonet_addr_parse, lonet_addr_format,
 *     lonet_network, lonet_host_name, lonet_version. Only lonet_accept is a cancellation point.
 *
 * Addresses.  "host:port", with the host in brackets if it has colons itself, and a port from 0 to 65535 in decimal.
 *     In ":port" the host is the one that listens or dials.
 */
#ifndef LONET_H
#define LONET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lonet_net lonet_net;   /* a network that the process has joined */
typedef struct lonet_host lonet_host; /* a host of it, run by the process */

/* A lonet address. */
struct lonet_addr {
	char host[256]; /* UTF-8, ends in a zero byte */
	uint16_t port;  /* in the byte order of the machine */
};

/* Flags of lonet_host_new. */
enum {
	LONET_SHARE = 1,    /* share the host if it is up already */
	LONET_TCP_PORTS = 2 /* accepted connections have their listener's port */
};

/* Flags of lonet_trace_open. */
enum {
	LONET_TRACE_ALL = 1 /* include events recorded before */
};

/* Joins a network, and starts it if necessary; NULL or "": a new one with a random name. It is the network of
 * `lonet run --network NAME`; TMPDIR and the LONET_ variables of the environment say where it is, and LONET_AUTOBIND
 * and LONET_OS_PORTS which ports its hosts get (lonet(3)). It ends by itself a few seconds after the last process has
 * left it.
 *
 * EINVAL: not a network's name, or an invalid variable. ENOENT: TMPDIR does not exist. ENAMETOOLONG: it is too long
 * for a path. EACCES: the network's directory belongs to another user, is open to others or not writable.
 * ENETDOWN: the network cannot be started, or its daemon does not answer. EPROTO: its daemon is of another version.
 * EMFILE, ENFILE, ENOSPC. */
int lonet_join(const char *network, lonet_net **net);

/* The network's full name: "lonetmynet" for mynet. EINVAL, ENETDOWN: the network was left. */
const char *lonet_network(const lonet_net *net);

/* Leaves a network: closes all hosts that were made with this handle, and ends it. Descriptors stay open.
 *
 * EINVAL, ENETDOWN: it was left before. EMFILE, ENFILE: no descriptor was free, and nothing was ended. */
int lonet_leave(lonet_net *net);

/* Makes a host, which is up until it is closed or the process ends. Its ports are free, from 1 on.
 * An accepted connection takes the lowest free port; with LONET_TCP_PORTS it has its listener's, as in TCP.
 * A listener or dial without a given port gets the lowest free one, each time: from 1 on, or from LONET_AUTOBIND on if
 * that was set when the network was joined. On hosts of unmodified programs bind(2) to port 0 does not give a process a
 * port again that it has closed unused (lonet(7)).
 * With LONET_SHARE it may be a host that is up already, whoever made it; that host goes on assigning ports as before.
 *
 * The name is a DNS label of 1 to 63 bytes, in UTF-8 or in its xn-- form; names that differ only in case are the same.
 *
 * EINVAL: not a host's name, unknown flags. EEXIST: the name is taken. ENETDOWN. EADDRNOTAVAIL: the network has
 * 65,279 hosts. EPROTO, EMFILE, ENFILE. */
int lonet_host_new(lonet_net *net, const char *name, int flags, lonet_host **host);

/* The host's name, as given to lonet_host_new. EINVAL, EHOSTDOWN: it was closed. ENETDOWN: its network was left. */
const char *lonet_host_name(const lonet_host *host);

/* Closes a host: shuts down its listeners and connections that this process has made, so that peers see the end and
 * a blocked lonet_accept returns EHOSTDOWN, frees its ports, and ends the handle. Descriptors stay open. If the
 * process has several handles of the same host (LONET_SHARE), closing the last of them does this.
 *
 * EINVAL, EHOSTDOWN, ENETDOWN: it was closed before. EMFILE, ENFILE: no descriptor was free, and nothing was ended. */
int lonet_host_close(lonet_host *host);

/* Returns a descriptor that listens on laddr: ":10" or "α:10", where α is this host; "", ":0" or "α:0" take the lowest
 * free port. It is readable when a connection waits. backlog is as in listen(2).
 *
 * EINVAL: not an address. EADDRNOTAVAIL: another host's. EADDRINUSE: the port is held, or none is free. EHOSTDOWN,
 * ENETDOWN, EPROTO, EACCES, EMFILE, ENFILE. */
int lonet_listen(lonet_host *host, const char *laddr, int backlog);

/* Returns a descriptor of the next connection, waiting for one unless lfd is non-blocking, and stores the addresses of
 * both ends. flags are SOCK_NONBLOCK and SOCK_CLOEXEC, as in accept4(2). accept(2) works as well.
 *
 * EBADF, ENOTSOCK, EINVAL: lfd does not listen, or is no lonet socket; unknown flags. EAGAIN: nothing waits on a
 * non-blocking lfd. EINTR: a signal without SA_RESTART. ECONNABORTED: no other connection waited, and this one has
 * ended with its peer unknown, or its peer is another user's or cannot be identified. EHOSTDOWN: its host was closed.
 * ENETDOWN: its network was left, or the network's daemon does not answer. EMFILE, ENFILE: it needs two descriptors,
 * one of them for a moment; the connection still waits. EPROTO, EACCES. */
int lonet_accept(int lfd, int flags, struct lonet_addr *local, struct lonet_addr *peer);

/* Returns a descriptor of a connection to addr from the host's lowest free port, within timeout_ms milliseconds, time
 * for the network's daemon included; 0: without waiting for the peer; -1: no time limit. Signals do not interrupt it.
 *
 * ECONNREFUSED: nothing listens at addr. EHOSTUNREACH: no host of this name is up. ETIMEDOUT. EINVAL: not an address,
 * timeout_ms below -1. EADDRINUSE: no port is free. ECONNRESET: the peer has ended it at once. EHOSTDOWN, ENETDOWN:
 * the dialing host was closed, or its network left. EPROTO, EACCES, EMFILE, ENFILE. */
int lonet_dial(lonet_host *host, const char *addr, int timeout_ms);

/* The same without waiting: the descriptor has O_NONBLOCK set, and becomes writable when the dial has succeeded or
 * failed; SO_ERROR is then 0 or one of lonet_dial's errors. Errors that are known at once are returned at once. */
int lonet_dial_start(lonet_host *host, const char *addr);

/* Stores the lonet address of a descriptor that was made by this API, or by socket calls of a program under lonet. For
 * a peer outside lonet the host is an IP address.
 *
 * EBADF, ENOTSOCK, EINVAL: not a lonet socket. ENETDOWN: its network was left, or the network's daemon does not
 * answer. EPROTO, EACCES, EMFILE, ENFILE. */
int lonet_local_addr(int fd, struct lonet_addr *addr);

/* Stores the lonet address of a descriptor's peer. Errors as of lonet_local_addr; ENOTCONN: it has no peer. */
int lonet_peer_addr(int fd, struct lonet_addr *addr);

/* Parses an address. The host is empty in ":port". EINVAL: no address, a host of more than 255 bytes, no UTF-8. */
int lonet_addr_parse(const char *text, struct lonet_addr *addr);

/* Writes an address as snprintf does: at most size bytes with the closing zero; the full length without it. buf may
 * be NULL if size is 0. EINVAL: a host without a zero byte, or not in UTF-8. */
int lonet_addr_format(const struct lonet_addr *addr, char *buf, size_t size);

/* Makes the plain socket calls of this process (bind, connect, getaddrinfo and so on) act as a host's, as LONET_HOST
 * does for a program under lonet. NULL: as before the first call; in a program that was not started under lonet the
 * socket calls are then not changed. Closing the host is the same as NULL.
 *
 * EINVAL, EHOSTDOWN, ENETDOWN: the host was closed. */
int lonet_set_default_host(lonet_host *host);

/* Cuts hosts off from each other, as `lonet cut` does: nothing that they send arrives until lonet_heal. from is a
 * host, or several separated by commas, and to the hosts to cut them off from; NULL or "": all others. "α>β" in from,
 * without to, cuts only the direction from α to β. Only the network's owner may do this.
 *
 * EINVAL: not names of hosts, or a host and itself. EHOSTUNREACH: no host of a name is up. EACCES: not the network's
 * owner, or the sockets of some processes, which lonet_errmsg() names, could not be reached. ENOSPC: too many rules.
 * ENETDOWN, EPROTO, EMFILE, ENFILE. */
int lonet_cut(lonet_net *net, const char *from, const char *to);

/* Undoes the faults that lonet_cut and the commands of lonet(1) have made between hosts, and stores in hits the
 * number of segments dropped, dials refused, connections reset and name lookups affected, in all. Without to: all
 * faults that name a host of from; NULL, NULL: all faults. If there is nothing to undo, hits is 0.
 *
 * Errors as of lonet_cut. EINVAL also: a fault concerns all other hosts, and cannot be undone for one. */
int lonet_heal(lonet_net *net, const char *from, const char *to, uint64_t *hits);

/* Stores the number of rules for faults, one for each direction between two hosts, and in hits what they have
 * affected, as lonet_heal does.
 *
 * EINVAL, EACCES, ENETDOWN, EPROTO, EMFILE, ENFILE. */
int lonet_faults(lonet_net *net, uint32_t *rules, uint64_t *hits);

/* Opens the stream of the network's events: returns a descriptor, with O_CLOEXEC, that is readable when there is an
 * event for lonet_trace_next. Events are recorded while it is open; close(2) closes it. flags: 0, or LONET_TRACE_ALL
 * to include the events that were recorded before. Only the network's owner may do this.
 *
 * EINVAL: no network, or invalid flags. EACCES: not the network's owner. ENETDOWN: the network was left, or its daemon
 * does not answer. EPROTO, EMFILE, ENFILE. */
int lonet_trace_open(lonet_net *net, int flags);

/* Stores the next event in buf, which has size bytes, as a line of JSON without the newline, terminated by a zero;
 * lonet(7) has its fields. Returns its length, or 0 if there is none at the moment.
 *
 * EINVAL: buf is NULL, or too small; the event is kept. ENETDOWN: the network has ended, or its daemon was killed:
 * open a new descriptor. EBADF, ENOTSOCK, ENOTCONN: not a descriptor of lonet_trace_open. */
int lonet_trace_next(int fd, char *buf, size_t size);

/* Describes the last failure of this thread, with addresses and the reason, such as
 *
 *     dial lonetmynet β:1->α:11: connection refused
 *
 * "" before the first one; never NULL. */
const char *lonet_errmsg(void);

/* The version of the library, such as "0.1.0". */
const char *lonet_version(void);

#ifdef __cplusplus
}
#endif

#endif
