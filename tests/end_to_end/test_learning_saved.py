"""What is saved in a watched folder is in the next suggestion, and what is gone is not.

From the editor to the disk: real processes, and a model of a few units whose memory does the work.
Nothing is timed; what must come, comes before the test loses patience.
"""

import json
import os
import signal
from pathlib import Path

import pytest
from afterword_daemon import config
from afterword_trainer import remembering
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.paths import Paths
from afterword_trainer.remembering import Remembered
from daemons import clear_up, connect, eventually, lives, pid_of
from desk import Seat
from household import (
    BRIDGE,
    MEADOW,
    READER,
    RIVER,
    afterword,
    children,
    knows,
    quick,
    soon_forgets,
    soon_knows,
    text_of,
    watch,
)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of the user's."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def has_stored(paths: Paths, *files: Path) -> bool:
    """Whether the memory on disk holds exactly these."""
    found = remembering.load(remembering.path_of(paths), Alphabet("éß"))
    return found is not None and sorted(found.memory.documents()) == sorted(map(str, files))


# -- at once -----------------------------------------------------------------------------------


def test_what_is_saved_is_in_the_next_suggestion(paths: Paths, notes: Path, seat: Seat) -> None:
    """Seen through the language server; a changed file takes the place of the one before."""
    watch(paths, notes)
    connect(paths, *quick()).close()
    desk = seat()
    desk.open("")
    desk.until_ready()

    def suggests(phrase: tuple[str, str]) -> bool:
        desk.edit((0, len(desk.text), f"As I said:\n{phrase[0]}"))
        return any(text.startswith(phrase[1][:8]) for text in desk.suggestions())

    note = notes / "a.md"
    assert not suggests(RIVER)
    note.write_text(text_of(RIVER))
    assert eventually(lambda: suggests(RIVER))
    note.write_text(text_of(BRIDGE))
    assert eventually(lambda: suggests(BRIDGE))
    assert not suggests(RIVER)
    # A folder that is empty all at once could be a disk that is not there.
    (notes / "b.md").write_text(text_of(MEADOW))
    note.unlink()
    assert eventually(lambda: not suggests(BRIDGE))
    assert eventually(lambda: suggests(MEADOW))


@pytest.mark.slow
def test_what_changed_while_nobody_was_there_is_found(paths: Paths, notes: Path) -> None:
    """A new file, a changed one, and one that is gone, after a daemon that was killed."""
    a, b, c = (notes / name for name in ("a.md", "b.md", "c.md"))
    a.write_text(text_of(RIVER))
    b.write_text(text_of(BRIDGE))
    watch(paths, notes)
    with connect(paths, *quick()):
        assert eventually(lambda: has_stored(paths, a, b))
        kill(paths)
    a.write_text(text_of(MEADOW))
    b.unlink()
    c.write_text(text_of(RIVER))

    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, MEADOW)
        assert soon_knows(connection, RIVER)
        assert soon_forgets(connection, BRIDGE)
        assert eventually(lambda: has_stored(paths, a, c))


def kill(paths: Paths) -> None:
    """The daemon, at once; nothing of it outlives it."""
    pid, readers = pid_of(paths), children(paths, READER)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not any(map(lives, [pid, *readers])))


@pytest.mark.slow
def test_what_was_not_stored_yet_is_told_again(paths: Paths, notes: Path) -> None:
    """A daemon that is killed right after a save loses nothing, twice in a row."""
    a, b = notes / "a.md", notes / "b.md"
    b.write_text(text_of(BRIDGE))
    watch(paths, notes)
    with connect(paths, *quick()):
        assert eventually(lambda: has_stored(paths, b))
        kill(paths)
    a.write_text(text_of(RIVER))
    for _ in range(2):
        with connect(paths, *quick(keeping__STORE_S=300.0)) as connection:
            assert soon_knows(connection, RIVER)
            assert has_stored(paths, b)
            kill(paths)
    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, RIVER)
        assert eventually(lambda: has_stored(paths, a, b))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["damaged", "deleted", "of another model", "another"])
def test_a_memory_that_is_lost_is_told_anew(paths: Paths, notes: Path, how: str) -> None:
    """All that is there, and nothing that is not there any more."""
    a, b = notes / "a.md", notes / "b.md"
    a.write_text(text_of(RIVER))
    b.write_text(text_of(BRIDGE))
    watch(paths, notes)
    with connect(paths, *quick()):
        assert eventually(lambda: has_stored(paths, a, b))
        kill(paths)
    b.unlink()
    stored = remembering.path_of(paths)
    other = Alphabet("ω" if how == "of another model" else "éß")
    match how:
        case "damaged":
            data = bytearray(stored.read_bytes())
            data[len(data) // 2] ^= 1
            stored.write_bytes(data)
        case "deleted":
            stored.unlink()
        case _:
            memory = Memory(other)
            memory.learn(str(b), other.encode(text_of(BRIDGE)))
            remembering.save(stored, Remembered(memory=memory, mixer=Mixer.default()))

    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, RIVER)
        assert soon_forgets(connection, BRIDGE)
        assert eventually(lambda: has_stored(paths, a))


# -- which folders -----------------------------------------------------------------------------


@pytest.mark.slow
def test_folders_are_added_and_removed_while_it_runs(paths: Paths, notes: Path) -> None:
    """By the command line; what lies in one that is watched no more is forgotten, everywhere."""
    other = notes.parent / "other"
    other.mkdir()
    (notes / "a.md").write_text(text_of(RIVER))
    (other / "b.md").write_text(text_of(BRIDGE))
    watch(paths)
    with connect(paths, *quick(keeping__STORE_S=300.0, keeping__FORGET_S=0.1)) as connection:
        assert not children(paths, READER)
        for folder, phrase in ((notes, RIVER), (other, BRIDGE)):
            added = afterword(paths, "watch", "add", str(folder))
            assert (added.returncode, added.stderr) == (0, "")
            assert "undo" in added.stdout
            assert soon_knows(connection, phrase)
        told = json.loads(afterword(paths, "watch", "--json").stdout)
        facts = [(one["path"], one["mode"], one["files"]) for one in told]
        assert facts == [(str(notes), "events", 1), (str(other), "events", 1)]

        assert afterword(paths, "watch", "remove", str(other)).returncode == 0
        assert soon_forgets(connection, BRIDGE)
        assert knows(connection, RIVER)
        assert eventually(lambda: has_stored(paths, notes / "a.md"))
        # The last one: nobody is needed any more to tell what is there.
        assert afterword(paths, "watch", "remove", str(notes)).returncode == 0
        assert soon_forgets(connection, RIVER)
        assert eventually(lambda: has_stored(paths))
        assert eventually(lambda: not children(paths, READER))
        assert json.loads(afterword(paths, "watch", "list", "--json").stdout) == []


@pytest.mark.slow
def test_folders_are_named_before_there_is_a_daemon(paths: Paths, notes: Path) -> None:
    """It is not started for that; when it is, it knows."""
    (notes / "a.md").write_text(text_of(RIVER))
    added = afterword(paths, "watch", "add", str(notes))
    assert (added.returncode, added.stderr) == (0, "")
    assert not (paths.data / "endpoint.json").exists()
    told = json.loads(afterword(paths, "watch", "--json").stdout)
    assert [(one["path"], one["mode"]) for one in told] == [(str(notes), "")]
    assert "read while the daemon runs" in afterword(paths, "watch").stdout

    for arguments, problem in (
        (("add", "/"), "the whole machine"),
        (("add", "//"), "the whole machine"),
        (("add", str(notes / "none")), "no such folder"),
        (("add", str(notes / "a.md")), "it is a file"),
        (("add",), "which folder"),
        (("remove", str(notes.parent)), "not watched"),
        (("list", str(notes)), "lists all"),
    ):
        refused = afterword(paths, "watch", *arguments)
        assert refused.returncode == 2
        assert problem in refused.stderr
        assert "Traceback" not in refused.stderr
    assert config.load(paths).watch == (notes,)

    with connect(paths) as connection:
        assert soon_knows(connection, RIVER)


# -- not now -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_paused_nobody_reads(paths: Paths, notes: Path) -> None:
    """The reader ends, and what changed meanwhile is found afterwards, however short it was."""
    note = notes / "a.md"
    note.write_text(text_of(RIVER))
    watch(paths, notes)
    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, RIVER)
        connection.ask("pause")
        assert eventually(lambda: not children(paths, READER))
        note.write_text(text_of(BRIDGE))
        assert knows(connection, RIVER)
        connection.ask("resume")
        assert soon_knows(connection, BRIDGE)
        assert not knows(connection, RIVER)

        for _ in range(3):
            connection.ask("pause")
            connection.ask("resume")
        note.write_text(text_of(MEADOW))
        assert soon_knows(connection, MEADOW)
        assert len(children(paths, READER)) == 1

    # It outlives the daemon, and so does that nobody reads.
    assert afterword(paths, "pause").returncode == 0
    kill(paths)
    with connect(paths, *quick()) as connection:
        assert connection.status().state == "paused"
        assert not children(paths, READER)
        assert connection.status().learning.state == "paused"
        assert afterword(paths, "resume").returncode == 0
        assert eventually(lambda: children(paths, READER) != [])


@pytest.mark.slow
def test_with_learning_off_nobody_reads(paths: Paths, notes: Path) -> None:
    """From the start, and as soon as it is set."""
    (notes / "a.md").write_text(text_of(RIVER))
    watch(paths, notes)
    on = config.path_of(paths).read_text()
    off = on + "enable = false\n"
    config.path_of(paths).write_text(off)
    with connect(paths, *quick()) as connection:
        assert not children(paths, READER)
        config.path_of(paths).write_text(on)
        assert soon_knows(connection, RIVER)
        config.path_of(paths).write_text(off)

        def has_no_reader() -> bool:
            connection.status()
            return not children(paths, READER)

        assert eventually(has_no_reader)
        assert connection.status().watched[0].mode == ""
    clear_up(paths)
