"""The library: saved files in the memory, and on disk."""

from pathlib import Path

import pytest
from afterword_daemon.library import MOST_WAITING, Library
from afterword_trainer import durable, remembering
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.remembering import Remembered

OURS = "\0"  # begins the keys of open documents
ALPHABET = Alphabet("äß€")


def made() -> tuple[Library, Memory]:
    """A library, and the memory that it keeps."""
    memory = Memory(ALPHABET)
    return Library(Remembered(memory=memory, mixer=Mixer()), ALPHABET), memory


def work(library: Library) -> None:
    """Learn and forget all that waits."""
    while library.work():
        pass


def test_a_file_takes_the_place_of_what_it_was() -> None:
    """And one that is gone is forgotten, as if it had never been."""
    library, memory = made()
    library.saved(1, "/a", "the cat sat")
    library.saved(2, "/b", "on the mat")
    work(library)
    library.saved(3, "/a", "the dog lay")
    library.gone(4, "/b")
    work(library)

    assert memory.documents() == ["/a"]
    assert len(memory) == len("the dog lay")


def test_of_many_changes_the_last_is_learned() -> None:
    """What was overtaken while it waited costs nothing."""
    library, memory = made()
    for number in range(5):
        library.saved(number, "/a", "x" * number)
    work(library)

    assert len(memory) == 4


def test_whoever_tells_too_much_has_to_wait() -> None:
    """Until some of it is learned."""
    library, _ = made()
    library.saved(1, "/a", "x" * MOST_WAITING)
    assert not library.has_room
    library.gone(2, "/a")
    assert library.has_room


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    """Without what is open; and it is known up to where nothing has to be told again."""
    library, memory = made()
    library.saved(7, "/a", "the cat sat")
    work(library)
    memory.learn(f"{OURS}draft", ALPHABET.encode("never saved"))
    assert not library.is_stored
    store = library.storing(tmp_path / "memory")
    memory.learn(f"{OURS}draft", ALPHABET.encode("typed meanwhile"))
    library.saved(8, "/b", "saved meanwhile")

    assert library.stored(store()) == 7
    assert not library.is_stored
    found = remembering.load(tmp_path / "memory", ALPHABET)
    assert found is not None
    assert found.id == library.id
    assert found.memory.documents() == ["/a"]
    assert memory.holds(f"{OURS}draft")


def test_what_cannot_be_stored_is_told_again(tmp_path: Path) -> None:
    """A full disk, or a file where its folder should be: it does not count as stored."""
    library, _ = made()
    library.saved(1, "/a", "the cat sat")
    work(library)
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(durable.StateError):
        library.storing(tmp_path / "data" / "memory")()

    assert not library.is_stored


def test_a_reader_that_tells_anew_is_believed() -> None:
    """What it does not tell is gone, except where it cannot look."""
    library, memory = made()
    for number, path in enumerate(["/here/a", "/here/b", "/away/c", "/hereafter/d"]):
        library.saved(number, path, "the cat sat")
    work(library)
    memory.learn(f"{OURS}draft", ALPHABET.encode("open"))
    library.begin()
    library.doubt()
    library.saved(1, "/here/b", "the cat sat")
    library.settled(out_of_reach=["/away", "/here/b"])
    work(library)

    assert sorted(memory.documents()) == [f"{OURS}draft", "/away/c", "/here/b"]


def test_in_doubt_nothing_counts_as_stored(tmp_path: Path) -> None:
    """What the reader will not tell is still in there, so it has to tell all if it starts again."""
    library, memory = made()
    for number, path in enumerate(["/a", "/b", "/c"], 1):
        library.saved(number, path, "the cat sat")
    work(library)
    library.begin()
    library.doubt()
    library.saved(1, "/a", "the cat sat")
    work(library)
    assert library.stored(library.storing(tmp_path / "memory")()) == 0
    assert library.is_stored
    library.settled(out_of_reach=["/"])
    assert not library.is_stored
    assert library.stored(library.storing(tmp_path / "memory")()) == 1
    assert sorted(memory.documents()) == ["/a", "/b", "/c"]


def test_numbers_are_of_one_reader(tmp_path: Path) -> None:
    """What the one before numbered says nothing of what this one has told."""
    library, _ = made()
    library.saved(9, "/a", "the cat sat")
    work(library)
    store = library.storing(tmp_path / "memory")
    library.begin()

    assert library.stored(store()) == 0
