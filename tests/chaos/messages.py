"""Messages to lonetd as bytes (src/core/control), for those that must not get an answer.

The runner sends the same as the network's owner first, and gets one: so an outsider that gets none was not refused for
a message that nobody would understand.
"""

import errno
import socket
import struct
import time

MAGIC = b"lnet"
LIST, JOIN, REVIEW, RESOLVE, LEND = 40, 0, 14, 16, 46
ERROR = 21
# What says that somebody is not let in, or has to come again.
REFUSALS = {errno.EACCES, errno.EPERM, errno.EPROTO, errno.EAGAIN, errno.EBUSY}


def request(version, op, body=b"", host=b"", key=bytes(16)):
    return (MAGIC + struct.pack("<HQH", version, time.monotonic_ns(), len(host)) + host + key + bytes(6) + struct.pack("<H", 1)
            + bytes([op]) + body)


def resolve(version, name, **more):
    return request(version, RESOLVE, struct.pack("<H", len(name)) + name + b"\0", **more)


def down(key=bytes(16)):
    """Understood by every version."""
    return MAGIC + struct.pack("<H", 0) + key + b"\1"


def connect(name):
    """A connection to a control socket, by its path or its abstract name."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        s.connect(name)
        return s
    except OSError:
        s.close()
        raise


def version_of(reply):
    return struct.unpack_from("<H", reply, 4)[0]


def is_refusal(reply):
    """Whether a reply says no more than that nothing will be done."""
    try:
        if version_of(reply) == 0:
            return struct.unpack_from("<i", reply, 6)[0] in REFUSALS
        # After the magic number and the version: the block, the pid, the kind of reply.
        kind, number = struct.unpack_from("<Bi", reply, 11)
        return kind == ERROR and number in REFUSALS
    except struct.error:
        return False
