"""Every file of the data folder damaged in every way: the daemon comes back, and tells of it."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import bases
import msgspec
import pytest
from afterword_daemon import aside, forgetting
from afterword_trainer import durable, ledger
from afterword_trainer.ledger import Entry
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry
from afterword_trainer.shelf import Shelf
from daemons import clear_up, connect, eventually, paths_in
from household import RIVER, afterword, knows, quick, soon_knows, text_of, watch

pytestmark = pytest.mark.slow

# Which files there are, and whether what is damaged in them can be told apart from what is not.
FILES = {
    "memory": True,
    "files.sqlite": True,
    "learned.json": True,
    "forgetting.json": True,
    "learning.json": True,
    "counts.json": True,
    "processor.json": False,  # what of it is wrong is worth nothing
    "endpoint.json": False,
    "daemon.lock": False,
    "start.lock": False,
}


@pytest.fixture(scope="module")
def template(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home that somebody has lived in."""
    home = tmp_path_factory.mktemp("home")
    (home / "base").symlink_to(base)
    (home / "notes").mkdir()
    (home / "notes" / "river.md").write_text(text_of(RIVER))
    paths = paths_in(home)
    shelf = Shelf(paths.models, paths.base)
    shelf.publish(bases.bundle("you-1"))
    shelf.use("you-1")
    watch(paths, home / "notes")
    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, RIVER)
        assert eventually(lambda: (paths.data / "memory").exists())
    clear_up(paths)
    ledger.add(paths, Entry(what="learned", when="2031-01-31T12:00:00Z", model="you-1"))
    Registry.load(paths).save()
    durable.replace(paths.data / forgetting.NAME, b'{"waiting":[]}')
    durable.replace(paths.data / "counts.json", b'{"version":1,"days":{},"bins":[]}')
    yield home
    shutil.rmtree(home)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "inside").write_text("?")


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.parents[1] / "elsewhere")


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(3000))


def _half(path: Path) -> None:
    data = path.read_bytes() if path.exists() else b""
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("damage", [_folder, _link, _garbage, _half])
def test_whatever_is_damaged_the_daemon_comes_back(
    damage: Callable[[Path], None], template: Path, paths: Paths
) -> None:
    """With a model and with what the files say; nothing is deleted, and it is told once."""
    home = paths.data.parent
    shutil.copytree(template / "data", paths.data, symlinks=True)
    (home / "notes").mkdir()
    (home / "notes" / "river.md").write_text(text_of(RIVER))
    watch(paths, home / "notes")
    (home / "elsewhere").write_text("somebody else's")
    for name in FILES:
        damage(paths.data / name)
        for journal in paths.data.glob(f"{name}-*"):
            journal.unlink()

    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, RIVER)
        assert connection.status().model is not None
        expected = {name for name, is_told_apart in FILES.items() if is_told_apart}
        if damage is _half:
            expected -= {"files.sqlite"}  # of which half may do, until it is read
        assert eventually(lambda: expected <= set(names(paths)))
        assert eventually(lambda: "memory" in connection.status().detail)
    assert (home / "elsewhere").read_text() == "somebody else's"
    log = (paths.logs / "daemon.log").read_text()
    assert log.count("memory was damaged") == 1
    told = afterword(paths, "doctor", "damaged", "forgotten").stdout
    assert all(name in told for name in names(paths))
    assert "fix: rm -r" in told
    clear_up(paths)

    before = names(paths)
    with connect(paths, *quick()) as connection:
        assert knows(connection, RIVER)  # from the memory, before anything is read
        assert connection.status().detail == ""
    assert names(paths) == before


def names(paths: Paths) -> list[str]:
    """Of the files that lie aside, as they were called."""
    return [file.name.rsplit(".", 2)[0] for file in aside.found(paths)]


def test_what_was_to_be_forgotten_is_asked_for_again(paths: Paths) -> None:
    """Who does not look at once is told later, too."""
    durable.replace(paths.data / forgetting.NAME, msgspec.json.encode({"waiting": 3}))
    for _ in range(2):
        with connect(paths) as connection:
            told = connection.status().learning.forgotten
            assert told is not None
            assert "to try again: trainer forget PATH" in told.sentence
        clear_up(paths)
    assert names(paths) == [forgetting.NAME]


def test_what_lies_aside_is_gone_when_something_is_forgotten(paths: Paths, tmp_path: Path) -> None:
    """It may hold the text, or the name, and nobody can look into it."""
    durable.replace(paths.data / "memory", b"of another version")
    (tmp_path / "diary.md").write_text("secret")
    with connect(paths, *quick()) as connection:
        assert names(paths) == ["memory"]
        connection.ask("forget", document=str(tmp_path / "diary.md"))
        assert names(paths) == []
