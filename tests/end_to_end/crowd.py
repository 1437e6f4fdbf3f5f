"""Clients that come all at once, some of which are killed while they start a daemon.

    python crowd.py HOME CLIENTS KILLED SEED

Prints, as JSON, for each one that lived on: the daemon it was told of, and after how many seconds.
Of those that are killed the first two are killed while they start a daemon. They are forks of one
process, so that they are many and nevertheless at once. A test runs it.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from daemons import connect, paths_in

SECONDS = 0.4  # within which the killed ones are; a daemon takes about as long to start


def main(home: Path, n_clients: int, n_killed: int, seed: int) -> None:
    draw = random.Random(seed)
    waits, go = os.pipe()
    tells, told = os.pipe()
    clients = []
    for _ in range(n_clients):
        pid = os.fork()
        if not pid:
            os.close(go)
            os.read(waits, 1)  # until all are there
            be_one(home, told)
        clients.append(pid)
    os.close(told)
    os.close(go)
    n_aimed = 2
    for _ in range(n_killed):
        time.sleep(draw.uniform(0, 2 * SECONDS / n_killed))
        one = draw.choice(clients)
        if n_aimed and (starter := holder(home)) in clients:
            one, n_aimed = starter, n_aimed - 1
        clients.remove(one)
        os.kill(one, signal.SIGKILL)
    with os.fdopen(tells) as lines:
        print(json.dumps([json.loads(line) for line in lines]))


def holder(home: Path) -> int:
    """Who is starting a daemon just now; 0 if nobody says so."""
    with suppress(OSError, ValueError):
        return int((home / "data" / "start.lock.pid").read_text())
    return 0


def be_one(home: Path, told: int) -> None:
    """A client of its own process, which ends here."""
    try:
        began = time.monotonic()
        with connect(paths_in(home)) as connection:
            pid = connection.ask("status")["pid"]
        # One write of so few bytes is whole, whoever else writes.
        os.write(told, b"%s\n" % json.dumps([pid, time.monotonic() - began]).encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
