"""Getting to a daemon: from nothing, in a crowd, past leftovers, across versions, after a crash."""

import asyncio
import errno
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from afterword_daemon import client, endpoint, link, process, protocol, starting
from afterword_daemon.client import (
    Connection,
    DaemonError,
    Link,
    LostError,
    NotRunningError,
    SkewError,
    StartError,
)
from afterword_daemon.protocol import Changed, Complete, Completed, Remember, frame
from afterword_trainer import durable
from afterword_trainer.paths import Paths
from daemons import DIE, WAIT, connect, eventually, lives, odd, paths_in, pid_of, request

Start = Callable[..., Connection]


# -- from nothing ------------------------------------------------------------------------------


def test_where_none_is_to_be_started_none_is(paths: Paths) -> None:
    """Looking leaves no trace."""
    with pytest.raises(NotRunningError, match=r"start it with: afterword start"):
        Connection.open(paths, spawn=False, client="afterword")

    assert not client.stop(paths, client="afterword")
    assert not paths.data.exists()


@pytest.mark.slow
def test_it_lives_on_by_itself(start: Start, paths: Paths) -> None:
    """In a session of its own, a child of nobody, with none of our files open."""
    start()
    fields = Path(f"/proc/{pid_of(paths)}/stat").read_text().rpartition(")")[2].split()

    assert int(fields[1]) != os.getpid()  # its parent
    assert int(fields[3]) != os.getsid(0)
    assert os.readlink(f"/proc/{pid_of(paths)}/cwd") == "/"  # noqa: PTH115


def test_the_second_client_finds_the_daemon_of_the_first(served: Paths) -> None:
    """And so do all after it."""
    for _ in range(3):
        with connect(served) as connection:
            assert connection.ask("status")["pid"] == pid_of(served)


def crowd(paths: Paths, n: int) -> set[int]:
    """The daemons that so many clients find who come at once."""

    def one(_: int) -> int:
        with connect(paths) as connection:
            pid: int = connection.ask("status")["pid"]
            return pid

    with ThreadPoolExecutor(n) as pool:
        return set(pool.map(one, range(n)))


def test_of_many_who_start_one_exactly_one_starts(paths: Paths) -> None:
    """A race without a loser: everybody is served by the same daemon."""
    assert crowd(paths, 12) == {pid_of(paths)}
    assert (paths.logs / "daemon.log").read_text().count("ready: process") == 1


def test_sessions_that_differ_meet_one_daemon(served: Paths, tmp_path: Path) -> None:
    """With another runtime folder, or none that can be used: the data folder decides."""
    for runtime in (tmp_path, tmp_path / "none" / "such", Path("/proc/1")):
        elsewhere = replace(served, runtime=runtime)
        with Connection.open(elsewhere, spawn=True, client="afterword") as connection:
            assert connection.ask("status")["pid"] == pid_of(served)


# -- past leftovers ----------------------------------------------------------------------------


def note(paths: Paths, **fields: Any) -> None:
    usual = {"socket": "/nowhere", "pid": 1, "protocol": 1, "build": "0", "started": 0.0}
    paths.data.mkdir(parents=True, exist_ok=True)
    endpoint.note_of(paths).write_bytes(protocol._encoder.encode(usual | fields))


def lock_files(paths: Paths) -> None:
    paths.data.mkdir(parents=True)
    for lock in (endpoint.lock_of(paths), endpoint.start_lock_of(paths)):
        lock.touch()
        lock.with_name(f"{lock.name}.pid").write_text(str(os.getpid()))


def what_a_killed_one_leaves(paths: Paths) -> None:
    connect(paths).close()
    os.kill(pid_of(paths), signal.SIGKILL)


def in_place_of(place: Callable[[Paths], Path], make: Callable[[Path], object]) -> Any:
    def leave(paths: Paths) -> None:
        place(paths).parent.mkdir(parents=True, exist_ok=True)
        make(place(paths))

    return leave


LEFTOVERS: dict[str, Callable[[Paths], object]] = {
    "a killed daemon's": what_a_killed_one_leaves,
    "locks of a process that lives": lock_files,
    "a note of another's process": lambda paths: note(paths, pid=os.getppid()),
    "a note of a file": lambda paths: note(paths, socket=__file__),
    "a note of another version": lambda paths: note(paths, protocol=99, extra=[1]),
    "half a note": in_place_of(endpoint.note_of, lambda path: path.write_text('{"socket":')),
    "a folder for a note": in_place_of(endpoint.note_of, Path.mkdir),
    "a pipe for a note": in_place_of(endpoint.note_of, os.mkfifo),
    "a link for a note": in_place_of(endpoint.note_of, lambda path: path.symlink_to("/dev/zero")),
    "an open runtime folder": in_place_of(
        lambda paths: paths.runtime, lambda path: (path.mkdir(), path.chmod(0o777))
    ),
    "a link for a lock": in_place_of(endpoint.lock_of, lambda path: path.symlink_to("/dev/null")),
    "a pipe for a lock": in_place_of(endpoint.lock_of, os.mkfifo),
    "a folder for a lock": in_place_of(endpoint.lock_of, Path.mkdir),
    "a folder for a starter's lock": in_place_of(endpoint.start_lock_of, Path.mkdir),
    "a file for the data folder": in_place_of(lambda paths: paths.data, Path.touch),
    "a file for the log folder": in_place_of(lambda paths: paths.logs, Path.touch),
    "a folder for the log": in_place_of(lambda paths: paths.logs / "daemon.log", Path.mkdir),
}
REFUSED = {"a file for the data folder": "data", "a file for the log folder": "logs"}


@pytest.mark.slow
@pytest.mark.parametrize("what", LEFTOVERS)
def test_whatever_was_left_it_starts_or_says_why_not(start: Start, paths: Paths, what: str) -> None:
    """In one sentence that names the place; and it never hangs."""
    LEFTOVERS[what](paths)

    if what not in REFUSED:
        assert start().ask("status")["state"] == "ready"
        return
    with pytest.raises(StartError) as failure:
        start()
    assert REFUSED[what] in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.slow  # each is a process
def test_a_name_that_is_no_utf8_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """It could be said to nobody, neither in a note nor in an answer."""
    home = tmp_path / "bad\udcff"
    with pytest.raises(StartError, match=r"this name is not UTF-8; rename the folder"):
        connect(paths_in(home))
    with pytest.raises(DaemonError, match=r"set AFTERWORD_HOME to a folder with a shorter path"):
        connect(paths_in(tmp_path.joinpath(*["x" * 200] * 25)))


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root may mount")
def test_a_full_disk_is_no_reason_to_serve_nobody(paths: Paths) -> None:
    """Without a note and without a log it is found where it usually is, and ends as ever."""
    home = paths.data.parent / "small"
    home.mkdir()
    ours = paths_in(home)
    options = ["-t", "tmpfs", "-o", "size=64k"]
    if subprocess.run(["mount", *options, "tmpfs", home], check=False).returncode != 0:
        pytest.skip("this container mounts nothing")
    try:
        ours.base.symlink_to(paths.base.resolve())
        with suppress(OSError), (home / "full").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        with connect(ours) as connection:
            assert connection.complete(request("x")).model == "base"
            assert endpoint.read(ours) is None
        assert client.stop(ours, client="afterword") == "asked"
    finally:
        client.stop(ours, client="afterword")
        subprocess.run(["umount", "--lazy", home], check=True)


def test_a_log_for_which_there_is_no_room_is_none(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written is lost, and nothing else."""

    def full(path: Path, mode: int) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(durable.disk, "open_to_append", full)
    log = process.LogFile(paths.logs / "daemon.log", at_most=1000)
    log.handle(logging.makeLogRecord({"msg": "ready"}))
    log.close()
    assert [*paths.logs.iterdir()] == []


def test_how_libraries_greet_is_no_crash(tmp_path: Path) -> None:
    """LiteRT says what it has made, on standard error, where crashes are told."""
    pytest.importorskip("ai_edge_litert")
    ours = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})
    try:
        with connect(ours) as connection:
            assert "network" in connection.status().memory
    finally:
        client.stop(ours, client="afterword")
    assert (ours.logs / "daemon.err").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("/nowhere/python",), "/nowhere/python: cannot be started"),
        ((sys.executable, "-c", ""), "it ended; see .*daemon.err"),
        ((sys.executable, "-c", "import sys, os; os.write(int(sys.argv[1]), b'no')"), "start: no"),
    ],
)
def test_a_daemon_that_does_not_come_up_says_why(
    paths: Paths, command: tuple[str, ...], reason: str
) -> None:
    """At once, and not at the end of a long wait."""
    with pytest.raises(StartError, match=reason):
        connect(paths, *command)


# -- across versions ---------------------------------------------------------------------------


@pytest.mark.slow
def test_an_older_daemon_gives_way(start: Start, paths: Paths) -> None:
    """To a command and to a link, which has no open documents there to lose."""
    older = odd(protocol__PROTOCOL_VERSION=protocol.PROTOCOL_VERSION - 1)
    with pytest.raises(SkewError):
        start(*older)  # it starts, and turns out to be of another version
    pid = pid_of(paths)

    assert start().ask("status")["state"] == "ready"
    assert pid_of(paths) != pid
    assert eventually(lambda: not lives(pid))
    client.stop(paths, client="afterword")
    with pytest.raises(SkewError):
        start(*older)
    pid = pid_of(paths)

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)

    assert linked(paths, scenario).states() == ["ready"]
    assert pid_of(paths) != pid


@pytest.mark.slow
def test_a_newer_daemon_is_never_replaced(start: Start, paths: Paths) -> None:
    """An editor that was left open while all was upgraded would end everybody's again and again.

    Only `restart` does that.
    """
    with pytest.raises(SkewError):
        start(*odd(protocol__PROTOCOL_VERSION=protocol.PROTOCOL_VERSION + 1))
    pid = pid_of(paths)
    with pytest.raises(SkewError, match=r"bring both to the same version"):
        start()

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: isinstance(link.problem, SkewError))
        assert await link.complete(request("x"), timeout_s=10) is None

    assert linked(paths, scenario).states() == []
    assert lives(pid)


@pytest.mark.slow
def test_a_daemon_of_another_build_stays_until_it_is_alone(start: Start, paths: Paths) -> None:
    """Nobody loses a connection over it."""
    first = start()
    pid = pid_of(paths)
    second = endpoint.connect(paths)
    assert second
    with second:
        second.sendall(
            frame(protocol.Hello(protocol=protocol.PROTOCOL_VERSION, build="other", client=""))
        )
        assert second.recv(1 << 16)
    assert first.complete(request("x")).model == "base"
    first.close()
    assert eventually(lambda: not lives(pid))

    assert start().ask("status")["pid"] != pid


@pytest.mark.slow
def test_a_daemon_of_any_version_can_be_stopped(start: Start, paths: Paths) -> None:
    """`stop` needs no common protocol."""
    with pytest.raises(SkewError):
        start(*odd(protocol__PROTOCOL_VERSION=99))
    pid = pid_of(paths)

    assert client.stop(paths, client="afterword")
    assert eventually(lambda: not lives(pid))


# -- one that does not end ---------------------------------------------------------------------


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GREETING_S", "GOING_S"):
        monkeypatch.setattr(client, name, 0.05)


def test_what_does_not_answer_is_stopped_by_force(
    start: Start, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to know of processes; the next one comes up as ever."""
    start()
    pid = pid_of(paths)
    os.kill(pid, signal.SIGSTOP)
    impatient(monkeypatch)

    assert client.stop(paths, client="afterword") == "forced"
    assert eventually(lambda: not lives(pid))
    monkeypatch.undo()
    assert start().ask("status")["pid"] != pid
    assert client.stop(paths, client="afterword") == "asked"
    assert client.stop(paths, client="afterword") == ""


HOLD = """
import os, signal, sys, time
from pathlib import Path
from afterword_trainer import durable
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with durable.locked(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(*command: str) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_is_not_the_daemon_is_not_killed(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever files say of a process, it is let alone unless it holds the lock."""
    impatient(monkeypatch)
    lock = endpoint.lock_of(paths)
    note_of_lock = lock.with_name(f"{lock.name}.pid")
    with running("sleep", "60") as innocent:
        note(paths, pid=innocent.pid)
        lock.touch()
        note_of_lock.write_text(str(innocent.pid), encoding="ascii")
        assert client.stop(paths, client="afterword") == ""

        with running(sys.executable, "-c", HOLD, str(lock)) as daemon:
            assert daemon.stdout
            daemon.stdout.readline()
            note_of_lock.write_text(str(innocent.pid), encoding="ascii")
            assert endpoint.holder(paths) != innocent.pid
            if endpoint.holder(paths) == daemon.pid:  # some file systems hide it from the kernel
                assert client.stop(paths, client="afterword") == "forced"
                assert daemon.wait(10) == -signal.SIGKILL
        assert innocent.poll() is None


def test_a_daemon_of_somebody_else_is_found_while_ours_starts(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a starter who died had begun: ours would wait for the lock, and come up later."""
    monkeypatch.setattr(starting, "LOOK_S", 0.05)
    pid_file = paths.data.parent / "pid"
    code = "import os, sys, time\nif os.fork(): os._exit(0)\n"  # as a daemon does
    code += "open(sys.argv[1], 'w').write(str(os.getpid()))"
    silent = (sys.executable, "-c", f"{code}\ntime.sleep(60)", str(pid_file))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(connect, paths, *silent)
        assert eventually(lambda: pid_file.exists() and pid_file.read_text() != "")
        theirs = [*client.COMMAND, "1", *map(str, astuple(paths))]
        subprocess.run(theirs, check=True, stdout=subprocess.DEVNULL)
        with waiting.result() as connection:
            assert connection.ask("status")["pid"] == pid_of(paths)
    assert eventually(lambda: not lives(int(pid_file.read_text())))


# -- after a crash -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_daemon_killed_in_a_request_is_missed_at_once(start: Start, paths: Paths) -> None:
    """And replaced by the next who asks."""
    connection = start(*odd())
    pid = pid_of(paths)
    connection.send(Complete(id=99, document="a", before=WAIT))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LostError):
        connection.ask("status")

    assert start().ask("status")["pid"] != pid


def test_a_daemon_that_is_stopped_in_its_tracks_is_not_waited_for(
    served: Paths, connection: Connection
) -> None:
    """Who asks it hears so in time, and later finds it as it was."""
    os.kill(pid_of(served), signal.SIGSTOP)
    try:
        with pytest.raises(LostError, match=r"does not answer; see: afterword doctor"):
            connection.ask("status", timeout_s=0.05)
    finally:
        os.kill(pid_of(served), signal.SIGCONT)
    assert connection.complete(request("x")).model == "base"


def test_a_daemon_with_too_many_clients_at_its_door_says_so(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and neither absent nor unable to start."""
    monkeypatch.setattr(endpoint, "BACKLOG", 1)
    monkeypatch.setattr(starting, "START_S", 0.05)
    with endpoint.listen(paths).socket, ExitStack() as crowd:
        with suppress(BlockingIOError):
            while connected := endpoint.connect(paths):
                crowd.enter_context(connected)
        with pytest.raises(LostError, match=r"too many clients waiting"):
            Connection.open(paths, spawn=False, client="afterword")


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\0\0\0\2{}", b"\0\0\0\1"])
def test_what_answers_but_is_no_daemon_is_an_error(
    paths: Paths, words: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a hang and not a crash."""
    monkeypatch.setattr(client, "GREETING_S", 0.05)
    listener = endpoint.listen(paths)

    def answer() -> None:
        listener.socket.settimeout(10)
        connected, _ = listener.socket.accept()
        with connected:
            connected.recv(1 << 16)
            connected.sendall(words)

    with ThreadPoolExecutor(1) as pool, listener.socket:
        answering = pool.submit(answer)
        with pytest.raises(DaemonError):
            Connection.open(paths, spawn=False, client="afterword")
        answering.result()


# -- a language server's link ------------------------------------------------------------------


class Heard(list["Changed | None"]):
    """What a link tells about the daemon."""

    def states(self) -> list[str]:
        return [one.state if one else "gone" for one in self]

    @property
    def has_daemon(self) -> bool:
        """Whether one told what it is about, a moment after it was connected to."""
        return bool(self and self[-1])


def linked(
    paths: Paths,
    scenario: Callable[[Link, Heard], Awaitable[None]],
    *command: str,
    spawn: bool = True,
) -> Heard:
    """Run a scenario with a link in an event loop of its own; what the link told."""
    heard = Heard()

    async def run() -> None:
        link = Link(
            paths,
            client="lsp",
            changed=heard.append,
            spawn=spawn,
            command=command or client.COMMAND,
        )
        link.start()
        try:
            await asyncio.wait_for(scenario(link, heard), 20)
        finally:
            await asyncio.wait_for(link.close(), 1)

    asyncio.run(run())
    return heard


async def until(condition: Callable[[], object]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


def test_a_link_starts_a_daemon_and_asks_it(paths: Paths) -> None:
    """Before it is there the answer is None, at once."""

    async def scenario(link: Link, heard: Heard) -> None:
        assert await link.complete(request("x"), timeout_s=10) is None
        assert not link.send(Remember(document="one", text="x"))
        await until(lambda: heard.has_daemon)
        answers = await asyncio.gather(
            *(link.complete(request("x", f"{n}"), timeout_s=10) for n in range(9))
        )
        assert [answer.model if answer else None for answer in answers] == ["base"] * 9
        assert link.send(Remember(document="one", text="x"))
        assert (await link.ask("status"))["documents"] == 9 + 1

    assert linked(paths, scenario).states() == ["ready"]


def test_a_link_comes_back_after_a_crash(paths: Paths) -> None:
    """Who waited hears None; a new daemon is there soon, and said so."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        pid = pid_of(paths)
        waiting = asyncio.create_task(link.complete(request(WAIT), timeout_s=20))
        await link.ask("why")
        os.kill(pid, signal.SIGKILL)
        assert await waiting is None
        await until(lambda: heard.has_daemon)
        assert await link.complete(request("x"), timeout_s=10)
        assert pid_of(paths) != pid

    assert linked(paths, scenario, *odd()).states() == ["ready", "gone", "ready"]


def test_a_link_survives_a_shortage_of_descriptors(paths: Paths) -> None:
    """Whatever goes wrong for a moment, the editor has suggestions again after it."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        pid = pid_of(paths)
        with no_descriptors():
            os.kill(pid, signal.SIGKILL)
            await until(lambda: "cannot be reached" in str(link.problem))
            assert await link.complete(request("x"), timeout_s=10) is None
        await until(lambda: heard.has_daemon)

    assert linked(paths, scenario).states() == ["ready", "gone", "ready"]


def test_a_link_goes_on_trying_whatever_goes_wrong(start: Start, paths: Paths) -> None:
    """Also where nobody has thought of it: here, of a name that no program can have."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: link.problem)
        assert await link.complete(request("x"), timeout_s=10) is None
        await asyncio.to_thread(start)
        await until(lambda: heard.has_daemon)

    assert linked(paths, scenario, "\0").states() == ["ready"]


@pytest.mark.slow
def test_what_does_not_come_up_is_not_started_in_a_storm(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time between two attempts is twice as long each time."""
    monkeypatch.setattr(link, "FIRST_S", 0.1)
    attempts = tmp_path / "attempts"
    attempts.touch()
    command = ("/bin/sh", "-c", f"echo >> {attempts}")

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: attempts.stat().st_size >= 5)

    since = time.monotonic()
    linked(paths, scenario, *command)
    assert time.monotonic() - since > 0.5 * (0.1 + 0.2 + 0.4 + 0.8)  # at half of it, at least


@pytest.mark.slow
def test_what_dies_when_it_is_used_is_not_started_in_a_storm(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time until the next attempt doubles with each life, and who looks is told why."""
    monkeypatch.setattr(link, "FIRST_S", 0.05)
    problems: list[str] = []
    pauses_s: list[float] = []

    async def scenario(link: Link, heard: Heard) -> None:
        for _ in range(7):
            since = time.monotonic()
            await until(lambda: heard.has_daemon)
            pauses_s.append(time.monotonic() - since)
            assert await link.complete(request(DIE), timeout_s=10) is None
            await until(lambda: link.problem)
            problems.append(str(link.problem))
            assert not heard[-1]

    heard = linked(paths, scenario, *odd())
    assert heard.states() == ["ready", "gone"] * 7
    assert problems[0] == "the connection to the daemon broke"
    assert [f"ended {n} times in a row" in problems[n - 1] for n in range(2, 8)] == [True] * 6
    assert pauses_s[-1] > 0.5 * 0.05 * 32  # half of it, at least


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened in this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)


def test_a_listener_that_fails_does_not_end_a_link(
    served: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked as before, and can be closed; what failed is told by its kind alone."""

    def fail(state: Changed | None) -> None:
        raise KeyError("my diary")

    async def scenario() -> None:
        link = Link(served, client="lsp", changed=fail)
        link.start()
        await until(lambda: link.is_connected)
        assert await link.complete(request("x"), timeout_s=10)
        await link.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert "KeyError at test_client.py:" in caplog.text
    assert "diary" not in caplog.text


@pytest.mark.slow
def test_a_link_does_not_start_again_what_was_stopped(start: Start, paths: Paths) -> None:
    """Off means off; but when somebody starts it, the link is there again."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        await asyncio.to_thread(client.stop, paths, client="afterword")
        await until(lambda: isinstance(link.problem, NotRunningError))
        assert endpoint.connect(paths) is None
        await asyncio.to_thread(start)
        await until(lambda: heard.has_daemon)

    assert linked(paths, scenario).states() == ["ready", "draining", "gone", "ready"]


def test_a_request_is_cancelled_with_whoever_waits_for_it(odd_served: Paths) -> None:
    """The daemon hears of it, and so it does when the time is over."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        waiting = asyncio.create_task(link.complete(request(WAIT), timeout_s=20))
        await link.ask("why")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await link.complete(request(WAIT, "two"), timeout_s=0.01) is None
        for _ in range(1000):
            if (await link.ask("status"))["requests"].get("cancelled", 0) >= 2:
                return
        raise AssertionError("the daemon was not told")

    linked(odd_served, scenario)


def test_the_older_of_two_requests_for_a_document_is_none(odd_served: Paths) -> None:
    """As if nobody had answered it."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        older = asyncio.create_task(link.complete(request(WAIT), timeout_s=20))
        await link.ask("why")
        newer = await link.complete(request("x"), timeout_s=10)
        assert (await older, newer and newer.model) == (None, "base")

    linked(odd_served, scenario)


@pytest.mark.slow
def test_a_link_can_be_closed_at_any_moment(paths: Paths) -> None:
    """While it starts a daemon too; what it began is not left half done."""

    async def scenario(link: Link, heard: Heard) -> None:
        await asyncio.sleep(random.uniform(0, 0.2))

    for _ in range(5):
        linked(paths, scenario)
    with connect(paths) as connection:
        assert connection.ask("status")["clients"] == 1


@pytest.mark.slow
def test_a_link_without_a_right_to_start_waits_for_a_daemon(start: Start, paths: Paths) -> None:
    """It says why there is none, and finds the one that comes."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: isinstance(link.problem, NotRunningError))
        await asyncio.to_thread(start)
        await until(lambda: heard.has_daemon)

    assert linked(paths, scenario, spawn=False).states() == ["ready"]


def test_a_daemon_that_does_not_read_is_not_written_to_for_ever(served: Paths) -> None:
    """What cannot be delivered is dropped, and typing goes on."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        os.kill(pid_of(served), signal.SIGSTOP)
        try:
            sent = [link.send(Remember(document="one", text="x" * 100_000)) for _ in range(40)]
            assert sent[0]
            assert not sent[-1]
            assert await link.complete(request("x"), timeout_s=0.05) is None
        finally:
            os.kill(pid_of(served), signal.SIGCONT)
        await until(lambda: link.send(Remember(document="one", text="x")))
        assert await link.complete(request("x"), timeout_s=10)

    linked(served, scenario)


def test_text_that_is_no_unicode_is_not_sent(served: Paths) -> None:
    """An editor may hold half a surrogate; nothing can be said of it."""

    async def scenario(link: Link, heard: Heard) -> None:
        await until(lambda: heard.has_daemon)
        assert await link.complete(request("\ud800"), timeout_s=10) is None
        assert not link.send(Remember(document="one", text="\udfff"))
        assert isinstance(await link.complete(request("x"), timeout_s=10), Completed)

    linked(served, scenario)
