"""Holds connections until its standard input ends, and prints a line when it has all of them.

    hold.py serve N     accepts N at its host's port 80
    hold.py HOST N      dials N there
"""

import resource
import socket
import sys
import time

where, count = sys.argv[1], int(sys.argv[2])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
if where == "serve":
    with socket.create_server(("", 80), backlog=4096) as listener:
        held = [listener.accept()[0] for _ in range(count)]
else:
    while len(held) < count:
        try:
            held.append(socket.create_connection((where, 80)))
        except (ConnectionRefusedError, socket.gaierror):
            if held:
                raise
            time.sleep(0.01)  # the server is about to start
print("holds", flush=True)
sys.stdin.read()
