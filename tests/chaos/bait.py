"""A server that has one descriptor left for what it accepts, and none to ask lonetd who calls."""

import os
import resource
import socket

listener = socket.create_server(("", 90), backlog=64)
first_free = os.open("/dev/null", os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + 1, first_free + 1))
os.close(first_free)
print("ready", flush=True)
while True:
    try:
        connection, _ = listener.accept()
        connection.sendall(b"secret")
        connection.close()
    except OSError:
        # Whoever is not let in, or has gone.
        pass
