"""The reader as the daemon sees it: begun, listened to, begun again, ended."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from afterword_daemon import lookout
from afterword_daemon.lookout import Lookout, Report
from afterword_daemon.watching.messages import Look, Saved
from afterword_trainer.paths import Paths

# A reader that says what it is told, word for word: one line for each thing that it hears.
ECHO = """
import sys
from afterword_daemon import protocol
from afterword_daemon.watching.messages import Folder, Hello, Look, Saved, ToReader, frame
frames = protocol.Frames(ToReader)
n = 0
def say(message):
    sys.stdout.buffer.write(frame(message))
    sys.stdout.buffer.flush()
say(Hello())
while data := sys.stdin.buffer.read1():
    for heard in frames.feed(data):
        n += 1
        if isinstance(heard, Look):
            for path in heard.folders:
                say(Folder(path=path, mode="events", files=n))
        say(Saved(number=n, path="/heard", characters=0, text=repr(heard)))
"""


class Told(list[Report]):
    """What readers have told, to be waited for."""

    @property
    def texts(self) -> list[str]:
        """What they have heard."""
        return [message.text for message in self if isinstance(message, Saved)]

    async def until(self, n: int) -> None:
        """Until they have heard so many."""
        await until(lambda: len(self.texts) >= n)


async def until(condition: Callable[[], object]) -> None:
    """Wait, but not for ever."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come true within half a minute")


@pytest.fixture
def told() -> Told:
    """What was told."""
    return Told()


@pytest_asyncio.fixture
async def reader(tmp_path: Path, told: Told) -> AsyncIterator[Lookout]:
    """A reader that says what it is told."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})
    one = Lookout(paths, told.append, command=(sys.executable, "-c", ECHO))
    yield one
    await one.close()


def look(*folders: str) -> Look:
    """What to watch."""
    return Look(folders=folders, quiet_s=2.0, most_characters=1000, memory="a")


@pytest.mark.asyncio
async def test_it_is_told_what_to_watch(reader: Lookout, told: Told) -> None:
    """At its start, and when that changes; what is watched no more is not spoken of."""
    reader.watch(look("/a", "/b"))
    await told.until(1)
    assert sorted(reader.folders) == ["/a", "/b"]
    reader.watch(look("/b"))
    await told.until(2)

    assert sorted(reader.folders) == ["/b"]
    assert "Look" in told.texts[1]


@pytest.mark.asyncio
async def test_what_is_stored_is_said(reader: Lookout, told: Told) -> None:
    """With the number up to which it is."""
    reader.watch(look("/a"))
    await told.until(1)
    reader.stored(7)
    await told.until(2)

    assert told.texts[1] == "Stored(number=7)"


@pytest.mark.asyncio
async def test_it_waits_while_there_is_enough_to_learn(reader: Lookout, told: Told) -> None:
    """And goes on where it was."""
    reader.watch(look("/a"))
    await told.until(1)
    reader.listen(False)
    for number in range(20):
        reader.stored(number)
    await asyncio.sleep(0.2)
    assert len(told.texts) == 1
    reader.listen(True)
    await told.until(21)

    assert told.texts[1:] == [f"Stored(number={n})" for n in range(20)]


@pytest.mark.asyncio
async def test_nothing_to_watch_is_no_process(reader: Lookout, told: Told) -> None:
    """It is gone at once, and comes back when there is something."""
    reader.watch(look("/a"))
    await told.until(1)
    process = reader.pid
    assert process
    reader.watch(None)
    await until(lambda: not reader.pid)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert not reader.folders
    reader.watch(look("/a"))
    await told.until(2)

    assert reader.pid not in (None, process)


@pytest.mark.asyncio
async def test_one_that_dies_is_begun_again(
    reader: Lookout, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause, and meanwhile it is known."""
    monkeypatch.setattr(lookout, "AGAIN_S", (0.2,))
    reader.watch(look("/a"))
    await told.until(1)
    assert reader.pid
    os.kill(reader.pid, signal.SIGKILL)
    await until(lambda: reader.problem)
    assert "afterword logs" in reader.problem
    await told.until(2)

    assert reader.problem == ""


@pytest.mark.asyncio
async def test_one_that_says_why_it_cannot_go_on_is_quoted(
    tmp_path: Path,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the path where people look, and once and without it in the log; until one works."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(lookout, "AGAIN_S", (0.05,))
    fails = f"""
import pathlib, sys, time
from afterword_daemon.watching.messages import Failing, Hello, Settled, frame
tries = pathlib.Path({str(tmp_path / "tries")!r})
n = int(tries.read_text()) if tries.exists() else 0
tries.write_text(str(n + 1))
last = Failing(detail="/home/me/files.sqlite: the disk is full", cause="the disk is full")
if n == 3:
    last = Settled(files=0, changed=0, characters=0)
sys.stdout.buffer.write(frame(Hello()) + frame(last))
sys.stdout.buffer.flush()
if n == 3:
    time.sleep(100)
"""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})
    one = Lookout(paths, told.append, command=(sys.executable, "-c", fails))
    one.watch(look("/a"))
    await until(lambda: one.problem)
    assert one.problem == "/home/me/files.sqlite: the disk is full"
    await until(lambda: not one.problem)
    await one.close()

    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the reader of folders failed (the disk is full); again in 0.05 s",
        "folders are read again",
    ]


@pytest.mark.asyncio
async def test_one_that_talks_rubbish_is_replaced(tmp_path: Path, told: Told) -> None:
    """It cannot be understood any more, whatever follows."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})
    babbles = (
        sys.executable,
        "-c",
        "import sys, time; print('x' * 99, flush=True); time.sleep(60)",
    )
    one = Lookout(paths, told.append, command=babbles)
    one.watch(look("/a"))
    await until(lambda: one.problem)
    await one.close()

    assert not told


@pytest.mark.asyncio
async def test_one_that_does_not_end_is_ended(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon does not wait for it for ever."""
    monkeypatch.setattr(lookout, "END_S", 0.2)
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})
    deaf = (sys.executable, "-c", "import time; time.sleep(600)")
    one = Lookout(paths, told.append, command=deaf)
    one.watch(look("/a"))
    await until(lambda: one.pid)
    process = one.pid
    assert process
    await one.close()

    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
