"""Real processes on a lead: heard, measured, stood still, ended, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from afterword_daemon import child
from afterword_daemon.child import Child, ChildError
from afterword_trainer.durable import StateError
from daemons import TIMEOUT_S, eventually, lives

GONE_S = 2.0  # what is promised after a daemon was killed

# What a child should do, and what some do not: leave when its input ends.
LEAVE = "import os, sys, threading\nthreading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))"
LEAVE += ", daemon=True).start()\n"
SAY = "import json, sys\ndef say(**what): print(json.dumps(what), flush=True)\n"
WORK = "while True: sum(range(1000))\n"
WAIT = "import time\nwhile True: time.sleep(60)\n"
PARENT_OF_ONE = (
    SAY + "import subprocess\nsay(pid=subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)\n"
)

Start = Callable[..., Child]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a script as a child; none outlives the test."""
    children: list[Child] = []

    def run(script: str, *arguments: str) -> Child:
        command = [sys.executable, "-c", script, *arguments]
        children.append(Child(command, log=tmp_path / "child.err"))
        return children[-1]

    yield run
    for one in children:
        await one.end(0.0)
        one.close()


def heard(one: Child) -> dict[str, object]:
    """The next record."""
    found: list[dict[str, object]] = []
    assert eventually(lambda: bool(found.extend(one.records()) or found))
    return found[0]


def all_heard(one: Child) -> list[dict[str, object]]:
    """Every record of a child that ends by itself."""
    found: list[dict[str, object]] = []
    assert eventually(lambda: (found.extend(one.records()), one.exit_code())[1] is not None)
    while more := one.records():
        found.extend(more)
    return found


def state_of(pid: int) -> str:
    """As the kernel has it: T stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def all_stand_still(pid: int) -> bool:
    """Every thread of it."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all(
        (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads
    )


async def cpu_s(one: Child) -> float:
    """Of a child that is there."""
    usage = await one.measure()
    assert usage
    return usage.cpu_s


# -- what it says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "records"),
    [
        (b'{"share": 0.5}\n', [{"share": 0.5}]),
        (b'{"a": 1}\n{"b": "\xc3\xa4"}\n', [{"a": 1}, {"b": "ä"}]),
        (b'no JSON\n\n[1]\n7\n{"a": \n{"a": 1}\n', [{"a": 1}]),
        (b'\xff\xfe\x00\n{"a": 1}\n', [{"a": 1}]),
        (b"[" * 50_000 + b'\n{"a": 1}\n', [{"a": 1}]),
        (b'"' + b"x" * child.MAX_LINE + b'"\n{"a": 1}\n', [{"a": 1}]),
        (b'"' + b"x" * 10 * child.MAX_LINE + b'"\n{"a": 1}\n', [{"a": 1}]),
        (b'{"a": "' + b"x" * 5 * child.MAX_LINE + b'", "b": 1}\n{"a": 1}\n', [{"a": 1}]),
        (b'{"a": "' + b"x" * child.MAX_LINE + b'"}\n{"a": 1}\n', [{"a": 1}]),
        (b'{"a": 1}\n{"torn', [{"a": 1}]),
    ],
)
def test_only_objects_are_heard(
    tmp_path: Path, said: bytes, records: list[dict[str, object]]
) -> None:
    """One a line; of what is no record nothing is left."""
    (tmp_path / "said").write_bytes(said)
    script = f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'said')!r}, 'rb').read())"
    one = Child([sys.executable, "-c", script], log=tmp_path / "child.err")
    assert records == all_heard(one)
    one.close()


@pytest.mark.asyncio
async def test_a_flood_waits_for_us(start: Start) -> None:
    """A child that writes without end gets no more of our time than another."""
    one = start(
        "import fcntl, os\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
        "lines = (b'{\"a\": \"' + b'x' * 1000 + b'\"}\\n') * 64\n"
        "while True: os.write(1, lines)"
    )
    sizes: list[int] = []
    assert eventually(
        lambda: sizes.append(len(one.records()) * 1000) or max(sizes) > child.MAX_HEARD / 2
    )
    for _ in range(20):
        await asyncio.sleep(0.01)  # for it to write
        sizes.append(len(one.records()) * 1000)
    assert max(sizes) <= child.MAX_HEARD + child.MAX_LINE


@pytest.mark.asyncio
async def test_a_line_without_end_takes_no_memory(start: Start) -> None:
    """Twenty million characters of it; what comes after is heard."""
    one = start(SAY + "for _ in range(20): sys.stdout.write('x' * 10**6)\nprint()\nsay(a=1)\n")
    tracemalloc.start()
    try:
        assert heard(one) == {"a": 1}
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


# -- standing still ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_it_stands_still_with_all_that_it_started_and_goes_on(start: Start) -> None:
    """Not a tick of the processor while it stands still."""
    one = start(PARENT_OF_ONE + WORK, SAY + WORK)
    other = int(str(heard(one)["pid"]))
    one.stop()
    assert one.stands_still
    assert eventually(lambda: all_stand_still(one.pid) and all_stand_still(other))
    before = await cpu_s(one)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert before == await cpu_s(one)
    one.go_on()
    assert not one.stands_still
    deadline = time.monotonic() + TIMEOUT_S
    while await cpu_s(one) == before:
        assert time.monotonic() < deadline
    assert "T" not in (state_of(one.pid), state_of(other))


@pytest.mark.asyncio
async def test_what_it_costs_has_that_of_its_children(start: Start) -> None:
    """Memory and processor, of those that have ended too."""
    hungry = SAY + "held = bytearray(200 << 20)\nfor _ in range(10**6): pass\n"
    one = start(PARENT_OF_ONE + WAIT, hungry + WAIT)
    alone = await one.measure()
    deadline = time.monotonic() + TIMEOUT_S
    while (usage := await one.measure()) and usage.resident < 200 << 20:
        assert time.monotonic() < deadline
    assert alone
    assert usage
    assert alone.resident < 100 << 20

    ended = start(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'for _ in range(10**7): pass'])\n"
        + SAY
        + "say(ended=True)\n"
        + WAIT
    )
    heard(ended)
    assert await cpu_s(ended) > 0.1


# -- its end -----------------------------------------------------------------------------------

OBEYS = SAY + "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nsay(ready=1)\n"
DEAF = SAY + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(ready=1)\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "grace_s", "code"),
    [(OBEYS + WAIT, TIMEOUT_S, 7), (DEAF + WORK, 0.1, -signal.SIGKILL)],
)
@pytest.mark.parametrize("stands_still", [False, True])
async def test_it_is_asked_first_and_then_killed(
    start: Start, script: str, grace_s: float, code: int, stands_still: bool
) -> None:
    """Also one that stands still, which could not hear."""
    one = start(script)
    heard(one)
    if stands_still:
        one.stop()
        assert eventually(lambda: all_stand_still(one.pid))
    await one.end(grace_s)
    assert code == one.exit_code()
    assert await one.measure() is None


@pytest.mark.asyncio
async def test_who_is_cancelled_while_it_ends_kills_it(start: Start) -> None:
    """A daemon that must be gone leaves nothing."""
    one = start(DEAF + WORK)
    heard(one)
    ending = asyncio.ensure_future(one.end(60.0))
    await asyncio.sleep(0)
    ending.cancel()
    with suppress(asyncio.CancelledError):
        await ending
    assert eventually(lambda: one.exit_code() == -signal.SIGKILL)


@pytest.mark.asyncio
async def test_what_it_started_ends_with_it(start: Start) -> None:
    """A helper of it that goes on would belong to nobody."""
    one = start(PARENT_OF_ONE, WORK)
    other = int(str(heard(one)["pid"]))
    assert eventually(lambda: one.exit_code() == 0)
    assert eventually(lambda: not lives(other))


# -- its surroundings --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_it_has_a_group_of_its_own_and_nothing_of_ours(start: Start, tmp_path: Path) -> None:
    """In our session, see the module; no descriptor but the three, and no folder is kept busy."""
    held = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(held, True)
    one = start(
        SAY + "import os\nopen_ones = os.listdir('/proc/self/fd')\n"
        "say(group=os.getpgrp(), session=os.getsid(0), cwd=os.getcwd(), n=len(open_ones))\n" + WAIT
    )
    os.close(held)
    # Three, and that of the list itself.
    assert heard(one) == {"group": one.pid, "session": os.getsid(0), "cwd": "/", "n": 4}


@pytest.mark.asyncio
async def test_what_it_writes_as_errors_is_added_to_the_log(start: Start, tmp_path: Path) -> None:
    """One training after the other."""
    for word in ("first", "second"):
        one = start(f"import sys; sys.stderr.write('{word}\\n')")
        assert eventually(lambda one=one: one.exit_code() == 0)  # type: ignore[misc]
    assert (tmp_path / "child.err").read_text() == "first\nsecond\n"


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    """A program that is gone; a log that cannot be."""
    with pytest.raises(ChildError, match=r"/no/such: it cannot be started \(no such file"):
        Child(["/no/such"], log=tmp_path / "child.err")
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="a file is in the way"):
        Child([sys.executable], log=tmp_path / "file" / "child.err")


# -- when we are killed ------------------------------------------------------------------------

DAEMON = """
import signal, sys, time
from pathlib import Path
from afterword_daemon.child import Child
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as for children of the daemon, who handles it itself
script, log, stands_still = sys.argv[1:]
one = Child([sys.executable, "-c", script], log=Path(log))
while not (heard := one.records()):
    pass
if stands_still == "True":
    one.stop()
print(one.pid, heard[0]["pid"], flush=True)
time.sleep(60)
"""
READY = SAY + "say(pid=0)\n"


@pytest.mark.parametrize(
    ("script", "stands_still"),
    [
        (LEAVE + READY + WORK, False),
        (LEAVE + READY + WORK, True),
        (LEAVE + READY + WAIT, True),
        # Here nothing but the system can end it, and what it has started too.
        (READY + WORK, True),
        (PARENT_OF_ONE + WORK, True),
    ],
)
def test_none_outlives_a_daemon_that_was_killed(
    tmp_path: Path, script: str, stands_still: bool
) -> None:
    """Gone in two seconds after SIGKILL of its parent, and standing still is no hiding place."""
    script = script.replace("sys.argv[1]", repr(WORK))
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, script, str(tmp_path / "child.err"), str(stands_still)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a daemon has it
    )
    pids: list[int] = []
    try:
        assert daemon.stdout
        pids = [int(pid) for pid in daemon.stdout.readline().split() if int(pid)]
        assert pids
        if stands_still:
            assert eventually(lambda: all(all_stand_still(pid) for pid in pids))
        daemon.kill()
        daemon.wait()
        assert eventually(lambda: not any(lives(pid) for pid in pids), within_s=GONE_S)
    finally:
        daemon.kill()
        daemon.communicate()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
