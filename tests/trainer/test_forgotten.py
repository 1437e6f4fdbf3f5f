"""What is left alone: decided by path, kept as digests, whoever asks and whatever happened."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from afterword_trainer import forgotten
from afterword_trainer.durable import DamagedError, StateError
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from hypothesis import given, settings
from hypothesis import strategies as st

Decide = Callable[[Forgotten], object]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home."""
    return Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})


@pytest.mark.parametrize(
    ("decisions", "held", "allowed"),
    [
        ([], [], ["/n/a.md", "/n"]),
        (["forget /n/a.md"], ["/n/a.md", "/n/a.md/page"], ["/n/b.md", "/n", "/n/a.mdx", "/n/a"]),
        (["forget /n"], ["/n", "/n/a.md", "/n/deep/er/b.md"], ["/nn/a.md", "/"]),
        (["forget /n/a.md", "allow /n/a.md"], [], ["/n/a.md"]),
        # Only what is named comes back: the rest of its folder stays forgotten,
        (["forget /n", "allow /n/a.md"], ["/n/b.md", "/n"], ["/n/a.md"]),
        # and so does, in a folder that comes back, what was forgotten by its own name.
        (["forget /n/a.md", "allow /n"], ["/n/a.md"], ["/n/b.md"]),
        (["forget /n", "forget /n/a.md", "allow /n"], ["/n/a.md"], ["/n/b.md"]),
        # The last word counts, in either direction.
        (["forget /n", "allow /n/a.md", "forget /n"], ["/n/a.md", "/n/b.md"], []),
        (["forget /n/a", "allow /n/a", "forget /n", "allow /n"], [], ["/n/a", "/n/b"]),
        (["forget /n", "allow /n/a", "forget /n/a/x", "allow /n/a"], ["/n/a/x"], ["/n/a/y"]),
    ],
)
def test_the_last_word_on_a_path_counts(
    decisions: list[str], held: list[str], allowed: list[str], paths: Paths
) -> None:
    """Told by the one who decided, and by one who loads it afterwards."""
    decided = Forgotten.load(paths)
    for decision in decisions:
        verb, _, path = decision.partition(" ")
        decided.add(path) if verb == "forget" else decided.remove(path)

    for asked in (decided, Forgotten.load(paths)):
        assert [path for path in (*held, *allowed) if asked.holds(path)] == held


def test_what_comes_back_is_told(paths: Paths) -> None:
    """So that `learn` can say so; what was never forgotten is not worth a word."""
    decided = Forgotten.load(paths)
    decided.add("/n/a.md", "/n/b.md")
    assert decided.remove("/n/b.md", "/n/c.md", "/n") == ["/n/b.md"]
    assert decided.remove("/n/b.md") == []


def test_what_is_allowed_in_memory_is_forgotten_on_disk(paths: Paths) -> None:
    """Until `remove` says so: a command that fails in between has taken nothing back."""
    decided = Forgotten.load(paths)
    decided.add("/n/a.md", "/n/b.md")
    allowing = decided.allowing("/n/a.md")
    asked = (allowing, decided, Forgotten.load(paths))
    assert [each.holds("/n/a.md") for each in asked] == [False, True, True]
    assert (allowing.holds("/n/b.md"), allowing.is_outdated()) == (True, False)
    assert allowing.remove("/n/a.md") == ["/n/a.md"]
    assert not Forgotten.load(paths).holds("/n/a.md")
    assert (allowing.holds("/n/b.md"), allowing.is_outdated()) == (True, False)


def test_a_link_and_what_it_leads_to_are_one(paths: Paths, tmp_path: Path) -> None:
    """Whichever of both names was used to learn, and whichever to forget."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for number, (named, asked) in enumerate((("real", "link"), ("link", "real"))):
        decided = Forgotten.load(paths)
        decided.add(tmp_path / named / f"{number}.md")
        assert decided.holds(tmp_path / asked / f"{number}.md")
        assert not decided.holds(tmp_path / asked / "other.md")


def test_relative_paths_are_those_of_the_folder_one_stands_in(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everywhere on a command line."""
    monkeypatch.chdir(tmp_path)
    decided = Forgotten.load(paths)
    decided.add("notes/../notes/a.md")
    assert decided.holds(tmp_path / "notes" / "a.md")


def test_no_path_can_be_read_from_the_disk(paths: Paths) -> None:
    """Nor guessed by who has no key: two homes write different digests for one path."""
    decided = Forgotten.load(paths)
    decided.add("/n/a-telling-name.md")
    for file in paths.data.iterdir():
        assert b"telling" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
    key = paths.data / forgotten.KEY
    assert len(key.read_bytes()) == 32
    first = (paths.data / forgotten.NAME).read_bytes()
    for file in (key, paths.data / forgotten.NAME):
        file.unlink()
    Forgotten.load(paths).add("/n/a-telling-name.md")
    assert (paths.data / forgotten.NAME).read_bytes() != first


def flip(path: Path) -> None:
    """Change a letter in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(b""), os.unlink])
@pytest.mark.parametrize("name", [forgotten.NAME, forgotten.KEY])
def test_who_cannot_tell_what_was_forgotten_reads_nothing(
    name: str, damage: Callable[[Path], object], paths: Paths
) -> None:
    """A damaged list or key is an error with a remedy, never an empty list."""
    Forgotten.load(paths).add("/n/a.md")
    damage(paths.data / name)
    if damage is os.unlink and name == forgotten.NAME:
        assert not Forgotten.load(paths)  # as the remedy has it
        return
    with pytest.raises(StateError, match="forget again"):
        Forgotten.load(paths)


@settings(max_examples=50)
@given(data=st.binary(max_size=80))
def test_no_bytes_are_taken_for_a_list(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands there."""
    home = tmp_path_factory.mktemp("home")
    ours = Paths.from_environment({"AFTERWORD_HOME": str(home)})
    ours.data.mkdir()
    (ours.data / forgotten.NAME).write_bytes(data)
    with pytest.raises(DamagedError, match="forget again"):
        Forgotten.load(ours)


def test_two_who_forget_at_once_forget_both(paths: Paths) -> None:
    """Each adds to what is on disk, not to what it had read."""
    first, second = Forgotten.load(paths), Forgotten.load(paths)
    first.add("/n/a.md")
    second.add("/n/b.md")
    assert [Forgotten.load(paths).holds(p) for p in ("/n/a.md", "/n/b.md")] == [True, True]
