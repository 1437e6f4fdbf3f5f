"""What a training process does to itself so that nobody notices it.

To be called before TensorFlow is imported: on Linux priority belongs to each thread, and threads
inherit it when they start. Knows the operating system; knows nothing of training.

Lowest priority for processor and disk, no more than a share of memory, first to go when memory runs
out, and gone when the process that started it is. Where the kernel groups processes by session
(autogroup, sched(7)), all this counts within the group; the group itself steps back only where this
process leads its session: else it is the daemon's, or a terminal's, which would answer slowly from
then on, for nobody sets it back.
"""

import ctypes
import logging
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from afterword_trainer import durable

logger = logging.getLogger(__name__)

NICE = 19  # the lowest priority there is
OOM_SCORE = 500  # of 1000: before what the user works with, after what runs away
# An update of 2 x 512 on two threads took 1.2 GB at its highest; more than this has gone astray.
MOST_BYTES = 2_000_000_000
CHECK_S = 1.0  # for the parent and for memory
LEFT = 75  # exit code of one that gave way; as in sysexits.h: try again later
_DARWIN_BACKGROUND = (4, 0, 0x1000)  # PRIO_DARWIN_PROCESS, this one, PRIO_DARWIN_BG


def step_back(*, most_bytes: int = MOST_BYTES, leave: Callable[[str], None] | None = None) -> None:
    """Give way to everything else, from now on and in every thread that is started.

    `leave` is called, in a thread of its own, when the parent is gone, when a pipe that standard
    input is has ended, or when more than `most_bytes` are resident; by default it ends the process
    at once, since a checkpoint is on disk already. What the system refuses is left as it is:
    training goes on, only less quietly.
    """
    parent = os.getppid()
    _lower()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            # A second line: the kernel's own word, should this process hang.
            ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    leave = leave or _end
    threading.Thread(target=_watch, args=(parent, most_bytes, leave), daemon=True).start()
    with suppress(OSError):  # there may be no standard input at all
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            # Held open at the other end by whoever started this, for as long as that lives.
            threading.Thread(target=_read_to_end, args=(leave,), daemon=True).start()


def limit_threads(n_threads: int) -> None:
    """Bound the threads of libraries that are imported after this."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(n_threads)
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # see `network.use_cores`
    os.environ["TF_NUM_INTEROP_THREADS"] = str(n_threads)


def _lower() -> None:
    if sys.platform == "darwin":
        # Processor, disk and timers at once. Written after Apple's manual and not run there yet.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).setpriority(*_DARWIN_BACKGROUND)
        return
    if sys.platform != "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        return
    for task in Path("/proc/self/task").iterdir():  # those of numpy run already
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, int(task.name), NICE)
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError, psutil.Error):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    told = {"oom_score_adj": OOM_SCORE}
    if os.getsid(0) == os.getpid():
        told["autogroup"] = NICE
    for name, value in told.items():
        with suppress(durable.StateError):
            durable.tell_kernel(Path("/proc/self", name), value)


def _watch(parent: int, most_bytes: int, leave: Callable[[str], None]) -> None:
    """Look once a second; another parent than at the beginning means that ours is gone."""
    process = psutil.Process()
    while True:
        if os.getppid() != parent:
            return leave("whoever started this is gone")
        if process.memory_info().rss > most_bytes:
            return leave(f"more than {most_bytes >> 20} MB are in use")
        time.sleep(CHECK_S)


def _read_to_end(leave: Callable[[str], None]) -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    leave("its input ended, so whoever started this is gone")


def _end(why: str) -> None:
    logger.error("training ends: %s", why)
    os._exit(LEFT)
