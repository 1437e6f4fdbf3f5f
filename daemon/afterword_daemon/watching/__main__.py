"""`python -m afterword_daemon.watching` and the six fields of `Paths`: the reader as a process.

The daemon starts it and speaks `messages` with it over stdin and stdout. It ends within a second
when its stdin does, whatever it is doing. Knows descriptors, signals and the way to the end.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

from afterword_trainer import durable
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

from afterword_daemon import confinement, discreet
from afterword_daemon.watching import watcher
from afterword_daemon.watching.pipe import Outlet, listen
from afterword_daemon.watching.reader import Reader

logger = logging.getLogger(__name__)

NICE: Final = 5  # behind what the user does, before what trains
PATIENCE_S: Final = 0.5  # to end by itself: a file that hangs must not be taken for a deadly one


def main(arguments: Sequence[str]) -> int:
    """Read until stdin ends; 1 if that is not possible, as the log then says."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s reader: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends this
    confinement.leave_no_traces()
    os.nice(NICE)
    paths = Paths(
        **dict(zip((field.name for field in fields(Paths)), map(Path, arguments), strict=True))
    )
    done = threading.Event()
    outlet = Outlet(sys.stdout.buffer, gone=lambda: os._exit(0))
    reader = Reader(paths, outlet.send, watch_limit=watcher.limit())

    def hear() -> None:
        listen(sys.stdin.fileno(), reader.hear)
        reader.end()
        outlet.end()
        done.wait(PATIENCE_S)
        os._exit(0)

    threading.Thread(target=hear, name="inlet", daemon=True).start()
    try:
        reader.run()
    except StateError as error:
        logger.error("%s (%s)", durable.without_path(error), discreet.without_text(error))
        outlet.flush()  # its last message says why
        return 1
    except Exception as error:  # its message may quote anything
        logger.critical("the reader failed: %s", discreet.without_text(error))
        return 1
    finally:
        done.set()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
