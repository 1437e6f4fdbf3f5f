"""The memory kept in step with a folder, by a real reader, and on disk."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import crash_disks
import pytest
import pytest_asyncio
from afterword_daemon import keeping
from afterword_daemon.config import Learning, Settings
from afterword_daemon.keeping import Keeping
from afterword_daemon.library import Library
from afterword_trainer import durable, remembering
from afterword_trainer.forgotten import NAME, Forgotten
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.paths import Paths
from afterword_trainer.remembering import Remembered

ALPHABET = Alphabet("é")
TEXT = "The river rose and the bridge was under water.\n"

pytestmark = [pytest.mark.asyncio]


class Kept:
    """A memory, a folder, and what keeps them in step."""

    def __init__(self, home: Path) -> None:
        self.paths = Paths.from_environment({"AFTERWORD_HOME": str(home)})
        self.folder = home / "notes"
        self.folder.mkdir()
        self.memory = Memory(ALPHABET)
        remembered = Remembered(memory=self.memory, mixer=Mixer.default())
        self.library = Library(remembered, ALPHABET)
        self.settings = Settings(watch=(self.folder,), learning=Learning(quiet_s=0.1))
        self.learns = True
        self.keeping = Keeping(
            self.paths, lambda: self.library, has_work=lambda: None, saved=lambda *_: None
        )

    def write(self, name: str, text: str = TEXT) -> str:
        """A file of the user's; its key in the memory."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def watch(self, *, is_paused: bool = False) -> None:
        self.keeping.look_for_forgotten()
        self.keeping.watch(self.settings, is_paused=is_paused)

    def work(self) -> None:
        """What the daemon does while nobody waits for an answer."""
        if self.learns:
            while self.library.work():
                pass
        self.keeping.rested()

    def knows(self, *keys: str) -> bool:
        """Whether the memory holds these files and no others."""
        self.work()
        return sorted(self.memory.documents()) == sorted(keys)

    def has_stored(self, *keys: str) -> bool:
        """Whether the one on disk does."""
        self.work()
        found = remembering.load(remembering.path_of(self.paths), ALPHABET)
        return found is not None and sorted(found.memory.documents()) == sorted(keys)


async def until(condition: Callable[[], object]) -> None:
    """Wait, but not for ever."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come true within twenty seconds")


@pytest_asyncio.fixture
async def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    """One that stores at once."""
    monkeypatch.setattr(keeping, "STORE_S", 0.05)
    monkeypatch.setattr(keeping, "FORGET_S", 0.01)
    monkeypatch.setattr(keeping, "BUSY_S", 0.01)
    one = Kept(tmp_path)
    yield one
    await one.keeping.close()


async def test_what_is_paused_for_a_moment_goes_on(kept: Kept) -> None:
    """Though the reader before is still about to end."""
    one = kept.write("one.md")
    kept.watch()
    await until(lambda: kept.knows(one))
    kept.watch(is_paused=True)
    kept.watch()
    two = kept.write("two.md")

    await until(lambda: kept.knows(one, two))


async def test_what_waits_is_not_learned_while_paused(kept: Kept) -> None:
    """It was told, and is told again when learning goes on."""
    one = kept.write("one.md")
    kept.learns = False
    kept.watch()
    await until(lambda: kept.library.is_busy)
    kept.watch(is_paused=True)
    kept.learns = True
    assert kept.knows()
    kept.watch()

    await until(lambda: kept.knows(one))
    await until(lambda: kept.has_stored(one))


async def test_where_nobody_can_tell_what_was_forgotten_nothing_is_read(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is said; whoever mends it is served."""
    one = kept.write("one.md")
    Forgotten.load(kept.paths).add(kept.folder / "diary.md")
    sound = (kept.paths.data / NAME).read_bytes()
    (kept.paths.data / NAME).write_bytes(sound[:-9])
    kept.watch()
    assert "doctor" in kept.keeping.problem
    await asyncio.sleep(0.2)
    assert [one.mode for one in kept.keeping.watched()] == [""]
    assert kept.keeping._lookout.pid is None

    (kept.paths.data / NAME).write_bytes(sound)
    assert not kept.keeping.look_for_forgotten()  # it is not tried all the time
    monkeypatch.setattr(kept.keeping, "_next_try", 0.0)
    kept.keeping.look_for_forgotten()
    assert kept.keeping.problem == ""
    await until(lambda: kept.knows(one))


async def test_what_is_forgotten_is_not_in_step_any_more(kept: Kept) -> None:
    """At once, on disk too; and taken back, it is there again."""
    one, two = kept.write("one.md"), kept.write("two.md")
    kept.watch()
    await until(lambda: kept.has_stored(one, two))
    Forgotten.load(kept.paths).add(one)
    assert kept.keeping.look_for_forgotten()
    assert kept.library.must_forget
    assert kept.knows(two)
    assert not kept.library.must_forget
    await until(lambda: kept.has_stored(two))
    kept.write("one.md", TEXT * 2)
    three = kept.write("three.md")
    await until(lambda: kept.knows(two, three))

    Forgotten.load(kept.paths).remove(one)
    assert kept.keeping.look_for_forgotten()
    await until(lambda: kept.knows(one, two, three))


async def test_what_cannot_be_stored_is_still_owed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays in the memory in use, and comes to the disk when there is room; said once."""
    caplog.set_level(logging.INFO)
    first = kept.write("first.md")
    kept.watch()
    await until(lambda: kept.has_stored(first))
    full = crash_disks.FailingDisk(1, errno.ENOSPC, for_ever=True)
    monkeypatch.setattr(durable, "disk", full)
    one = kept.write("one.md")
    await until(lambda: kept.knows(first, one))
    await until(lambda: len(full.calls) > 3)
    assert not kept.library.is_stored
    what = f"the memory cannot be stored: {remembering.path_of(kept.paths)}: the disk is full; "
    assert kept.keeping.problem.startswith(what)
    monkeypatch.setattr(durable, "disk", durable.Disk())

    await until(lambda: kept.has_stored(first, one))
    assert kept.keeping.problem == ""
    told = [record.getMessage() for record in caplog.records if "stored" in record.getMessage()]
    assert told == [
        "the memory cannot be stored: the disk is full; free some space and try again",
        "no longer so: the memory cannot be stored",
    ]


async def test_without_folders_the_last_word_is_that_they_are_gone(kept: Kept) -> None:
    """From the memory and from the disk; then nobody reads."""
    one = kept.write("one.md")
    kept.watch()
    await until(lambda: kept.has_stored(one))
    kept.settings = Settings(learning=Learning(quiet_s=0.1))
    kept.watch()

    await until(lambda: kept.has_stored())
    await until(lambda: kept.keeping._lookout.pid is None)
    assert kept.knows()
