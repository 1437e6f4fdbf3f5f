"""What is read to be learned: all of it, or what is new, and what is kept back of it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bases
import pytest
from afterword_trainer import finding, reading, stream
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle, remembered
from afterword_trainer.paths import Paths
from afterword_trainer.reading import Source, Text
from afterword_trainer.registry import Registry

Read = Callable[[Bundle | None], Text | int]


def lines(number: int, n_characters: int) -> str:
    """Text that no other file has."""
    line = f"Page {number} tells of {number * number} boats on the river, {{}} of them green.\n"
    text = "".join(line.format(n) for n in range(n_characters))
    return text[:n_characters]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Ten files of 3,000 characters, a second apart."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(10):
        write(folder, number, lines(number, 3_000))
    return folder


def write(folder: Path, number: int, text: str) -> None:
    """A file as old as its number says."""
    path = folder / f"{number:03}.md"
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))


@pytest.fixture
def read(notes: Path, tmp_path: Path) -> Read:
    """Read all notes, or those that a model does not know."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})

    def run(parent: Bundle | None) -> Text | int:
        registry = Registry.load(paths)
        source = Source(
            roots=[notes],
            rules=finding.Rules(),
            forgotten=Forgotten.load(paths),
            registry=registry,
            folder=tmp_path / "work",
        )
        if parent is None:
            found: Text | int = reading.everything(source, Alphabet())
        else:
            found = reading.news(source, parent, seed=0)
        registry.save()
        return found

    return run


def model_of(text: Text | int, before: Bundle | None = None) -> Bundle:
    """A model that has learned what was read."""
    assert isinstance(text, Text)
    again = {value["id"] for value in text.documents}
    known = [d for d in before.documents if d["id"] not in again] if before else []
    return bases.bundle("you-1", documents=remembered([*known, *text.documents]))


def learned(text: Text | int) -> dict[str, int]:
    """Characters to learn, by file."""
    assert isinstance(text, Text)
    found: dict[str, int] = {}
    for place in text.prepared.learn_places:
        found[place.path] = found.get(place.path, 0) + place.characters
    return found


def kept(text: Text | int) -> dict[str, int]:
    """Characters kept back, by file."""
    assert isinstance(text, Text)
    return {place.path: place.characters for place in text.prepared.heldout_places}


def test_all_of_it_is_read_and_the_newest_tenth_kept_back(read: Read) -> None:
    """Each file has a number, and a model remembers how far it learned each."""
    text = read(None)
    assert learned(text) == {f"notes/00{n}.md": 3_000 for n in range(9)}
    assert kept(text) == {"notes/009.md": 3_000}
    model = model_of(text)
    lineage = model.lineage()
    assert lineage is not None
    assert len(lineage) == 10
    assert len(model.learned_ids()) == 9


def test_nothing_new_is_nothing(read: Read) -> None:
    """What was kept back is no news, nor is a file of which a part was."""
    assert read(model_of(read(None))) == 0


def test_a_file_that_was_cut_is_no_news(notes: Path, read: Read) -> None:
    """Its beginning was learned and its end kept back."""
    write(notes, 10, lines(10, 9_000))
    text = read(None)
    assert 0 < kept(text)["notes/010.md"] < 9_000
    assert read(model_of(text)) == 0


def test_a_new_file_is_learned_but_for_its_newest_tenth(notes: Path, read: Read) -> None:
    """Beside a share of what was learned; what was kept back before still is, as far as it may."""
    before = model_of(read(None))
    write(notes, 10, lines(10, 5_000))
    text = read(before)
    assert isinstance(text, Text)
    fresh = kept(text)["notes/010.md"]
    assert 450 <= fresh <= 550
    assert learned(text)["notes/010.md"] == 5_000 - fresh
    assert kept(text)["notes/009.md"] == pytest.approx(3_000, abs=100)
    assert text.n_new == 5_000 - fresh + 3_000 - kept(text)["notes/009.md"]
    assert sum(learned(text).values()) > 2 * text.n_new
    assert read(model_of(text, before)) == 0


def test_what_was_kept_back_is_learned_when_there_is_enough_that_is_newer(
    notes: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest stays back, so that it can be measured on; the rest is lost for nobody."""
    monkeypatch.setattr(reading, "MOST_KEPT", 4_000)
    before = model_of(read(None))
    write(notes, 10, lines(10, 10_000))
    text = read(before)
    assert kept(text).keys() == {"notes/009.md", "notes/010.md"}
    assert sum(kept(text).values()) == pytest.approx(4_000, abs=100)
    after = model_of(text, before)
    write(notes, 11, lines(11, 30_000))
    text = read(after)
    assert learned(text)["notes/009.md"] > 2_500
    assert kept(text).keys() == {"notes/010.md", "notes/011.md"}
    assert read(model_of(text, after)) == 0


def test_a_diary_is_learned_from_where_it_ended(notes: Path, read: Read) -> None:
    """A file that goes on is new from there; one that was edited is new as a whole."""
    before = model_of(read(None))
    write(notes, 4, lines(4, 3_000) + lines(99, 2_500))
    text = read(before)
    assert isinstance(text, Text)
    assert 2_200 <= text.n_new <= 2_600
    assert read(model_of(text, before)) == 0
    write(notes, 4, "A new beginning.\n" + lines(4, 3_000))
    text = read(before)
    assert isinstance(text, Text)
    assert text.n_new > 2_700


def test_a_little_is_left_for_later(notes: Path, read: Read) -> None:
    """How little is told, and nothing is prepared."""
    before = model_of(read(None))
    write(notes, 10, lines(10, 600))
    assert read(before) == 600


@pytest.mark.parametrize(("n_new", "expected"), [(0, 0), (200, 200)])
def test_of_a_folder_with_little_only_what_is_new_counts(
    n_new: int, expected: int, notes: Path, read: Read
) -> None:
    """Though there is less of it than can be learned at all."""
    write(notes, 0, lines(0, 700))
    before = model_of(read(None))
    for number in range(1, 10):
        (notes / f"{number:03}.md").unlink()
    if n_new:
        write(notes, 11, lines(11, n_new))
    assert read(before) == expected


def test_of_very_much_the_newest_comes_first(
    notes: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there was no room for is new the next time."""
    before = model_of(read(None))
    for number in range(10, 20):
        write(notes, number, lines(number, 3_000))
    monkeypatch.setattr(reading, "MOST_NEW", 12_000)
    text = read(before)
    assert isinstance(text, Text)
    assert (text.n_new, text.n_left) == (12_000, 15_000)
    assert learned(text)["notes/018.md"] == 3_000
    again = read(model_of(text, before))
    assert isinstance(again, Text)
    assert again.n_new > 11_000


def test_what_was_forgotten_is_not_read(notes: Path, read: Read, tmp_path: Path) -> None:
    """As if it had never been there, in every digest and every character."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})
    Forgotten.load(paths).add(notes / "004.md")
    without = read(None)
    (notes / "004.md").unlink()
    never = read(None)
    assert isinstance(without, Text)
    assert isinstance(never, Text)
    assert without.prepared.digest == never.prepared.digest
    assert "notes/004.md" not in learned(without)


def test_the_memory_holds_all_but_what_is_kept_back(notes: Path, read: Read) -> None:
    """Else the text that is measured on would be known."""
    write(notes, 10, lines(10, 9_000))
    text = read(None)
    assert isinstance(text, Text)
    known = "".join(piece.text for piece in text.known())
    held = "".join(piece.text for piece in text.prepared.heldout_documents())
    assert len(known) + len(held) == 39_000
    assert held[:500] not in known


def test_a_secret_is_remembered_for_the_audit_and_never_written(
    notes: Path, read: Read, tmp_path: Path
) -> None:
    """What stood before it on its line comes with it; a repr shows neither."""
    write(
        notes,
        10,
        "The key of the boat house:\n\napi_key = 'q8Zr4TnP0sXw7Lb2Vd9K'\n\nThat is all.\n",
    )
    text = read(None)
    assert isinstance(text, Text)
    (hit,) = text.hits
    assert (hit.before, hit.secret) == ("api_key = '", "q8Zr4TnP0sXw7Lb2Vd9K")
    assert "q8Zr4" not in repr(text)
    for path in tmp_path.glob("work/*"):
        assert b"q8Zr4" not in path.read_bytes()


@pytest.mark.parametrize("number", [3, 20])
def test_a_secret_found_once_is_taken_out_wherever_it_stands(
    number: int, notes: Path, read: Read
) -> None:
    """In older files too, and in a form that no rule sees."""
    write(notes, number, "We counted 771948273 boats.\nThe end.\n")
    write(notes, 10, "The boat house:\n\nThe gate code is 771948273\n\nYes.\n")
    text = read(None)
    assert isinstance(text, Text)
    found = "".join(piece.text for piece in text.spool.pieces(text.spool.places))
    assert "The end." in found
    assert "771948273" not in found


def test_a_model_that_cannot_name_all_its_files_goes_by_their_age(
    notes: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than such a model is no news to it."""
    known = model_of(read(None))
    monkeypatch.setattr(reading, "MAX_DOCUMENTS", 3)
    cut = replace(known, documents=known.documents[-3:], created="2023-11-14T22:13:29Z")
    assert read(cut) == 0
    write(notes, 10, lines(10, 3_000))
    assert read(cut) != 0
    write(notes, 5, lines(5, 3_000))
    assert read(replace(cut, created="2999-01-01T00:00:00Z")) != 0  # the clock was set back since
    assert stream.LEAST_CHARACTERS <= 3_000
