"""Sources, passages and the mixture: what is learned, how often, and what never is."""

import errno
import json
import lzma
import tempfile
from collections import Counter
from collections.abc import Sequence
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any

import crash_disks
import numpy as np
import pytest
from afterword_trainer import base, durable
from afterword_trainer.model.alphabet import DOCUMENT, TEXT
from afterword_trainer.pretraining import PretrainingError, mixture, sources
from afterword_trainer.pretraining.manifest import Part
from afterword_trainer.pretraining.mixture import Mixture
from afterword_trainer.pretraining.overlap import Passages
from hypothesis import given
from hypothesis import strategies as st

FOX = "The quick brown fox jumps over the lazy dog and then it sleeps in the sun."


def part(**changes: Any) -> Part:
    chosen = {"name": "docs", "archive": "docs.txt.xz", "licence": "MIT", "source": "a library"}
    return Part(**{**chosen, **changes})


def archive(folder: Path, documents: dict[str, str], name: str = "docs.txt.xz") -> Path:
    text = "".join(f"\x1e{path}\n{text}" for path, text in documents.items())
    (folder / name).write_bytes(lzma.compress(text.encode()))
    return folder / name


def numbered(n: int) -> dict[str, str]:
    """Documents of one line each, no two alike."""
    return {f"notes/{number}.md": f"Note {number} über {number * number}.\n" for number in range(n)}


def prepare(
    folder: Path, parts: Sequence[Part], never: Sequence[str] = (), seed: int = 0
) -> Mixture:
    found = [sources.locate(part, [folder]) for part in parts]
    return mixture.prepare(found, never, folder / "runs", seed, lambda documents, characters: None)


def learned(mixed: Mixture) -> list[str]:
    """The pieces that are learned, without their headers."""
    data = np.fromfile(mixed.folder / mixture.LEARN, "<u2")
    inside, kept = False, []
    for symbol in data.tolist():
        if symbol in (DOCUMENT, TEXT):
            inside = symbol == DOCUMENT
        elif not inside:
            kept.append(symbol)
    return mixed.alphabet.decode(kept).splitlines(keepends=True)


# -- sources -----------------------------------------------------------------------------------


def test_an_archive_gives_its_documents_in_order(tmp_path: Path) -> None:
    """Each with its path and its language, without its secrets; patterns choose."""
    documents = {
        "a/one.md": "# One\n",
        "a/two.py": "password = 'q8Zr4TnP0sXw7Lb2'\nx = 2\n",
        "b/three.md": "\n",
        "b/.git/COMMIT_EDITMSG": "Mend the boat\n",
        "b/four.md": "Four\n",
    }
    archive(tmp_path, documents)

    found = sources.locate(part(exclude=["b/f*"]), [tmp_path / "elsewhere", tmp_path])
    texts = list(sources.texts(found))

    assert [(text.path, text.language, text.n_secrets) for text in texts] == [
        ("a/one.md", "markdown", 0),
        ("a/two.py", "python", 1),
        ("b/.git/COMMIT_EDITMSG", "git-commit", 0),
    ]
    assert "q8Zr4" not in texts[1].text
    assert [t.path for t in sources.texts(sources.locate(part(include=["*.py"]), [tmp_path]))] == [
        "a/two.py"
    ]


@given(st.lists(st.text(st.characters(exclude_characters="\x1e\r", codec="utf-8")), max_size=5))
def test_an_archive_holds_any_text(texts: list[str]) -> None:
    """What follows a path is the text, whatever it is."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [text if text.endswith("\n") else text + "\n" for text in texts]
        path = archive(Path(folder), {f"{n}.txt": text for n, text in enumerate(lines)})
        assert [text for _, text in sources.archived(path)] == lines


@pytest.mark.parametrize(
    "data",
    [
        b"not compressed",
        lzma.compress(b"no header\n"),
        lzma.compress(b"\x1ea.md\nab\xff\n"),
        lzma.compress(b"\x1ea.md\ncut short" * 50)[:-20],
    ],
)
def test_a_broken_archive_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    """Whatever is wrong with it, and without its text."""
    (tmp_path / "docs.txt.xz").write_bytes(data)

    with pytest.raises(PretrainingError, match=r"^docs.txt.xz: not an archive of texts .*; fetch"):
        list(sources.texts(sources.locate(part(), [tmp_path])))
    with pytest.raises(PretrainingError):
        prepare(tmp_path, [part()])
    assert not list((tmp_path / "runs").iterdir())


def test_what_is_nowhere_is_named(tmp_path: Path) -> None:
    """With the option that helps."""
    for missing in (
        part(),
        part(archive=None, folder="notes"),
        part(archive=None, npm=["left-pad"]),
        part(archive=None, packages=["no-such-package"]),
        part(archive="a" * 300),
        part(archive="a\0b"),
    ):
        with pytest.raises(PretrainingError, match=r"part 'docs': .*; (name|install)"):
            sources.locate(missing, [tmp_path])
    for name in ("novel.txt", "\0novel.txt"):
        with pytest.raises(PretrainingError, match=r"novel.txt: .*--root"):
            sources.unseen(name, [tmp_path])


def test_packages_are_read_without_what_is_vendored(tmp_path: Path) -> None:
    """Sources only, called as in the package's repository; its licence is written down."""
    folder = tmp_path / "node_modules" / "boats"
    (folder / "vendor").mkdir(parents=True)
    (folder / "package.json").write_text('{"license": "MIT", "version": "1.2"}', encoding="utf-8")
    for name in ("index.js", "index.min.js", "README.md", "vendor/other.js"):
        (folder / name).write_text(f"// {name}\nrow();\n", encoding="utf-8")

    found = sources.locate(part(archive=None, npm=["boats"]), [tmp_path])

    assert found.licences == ["boats 1.2: MIT"]
    assert [text.path for text in sources.texts(found)] == ["boats/index.js"]
    paths = [
        t.path for t in sources.texts(sources.locate(part(archive=None, packages=["rich"]), []))
    ]
    assert "rich/console.py" in paths
    assert not [path for path in paths if not path.endswith(".py")]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", True),
        ("apache-2.0 OR GPL-2.0-only", True),
        ("BSD-3-Clause AND 0BSD AND (MIT OR Zlib)", True),
        ("MIT AND MPL-2.0", False),
        ("(MIT OR GPL-3.0-only) AND Zlib", False),
        ("GPL-3.0-or-later", False),
        ("MPL-2.0", False),
        ("LicenseRef-Proprietary", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_licences_that_ask_for_no_more_than_a_notice(licence: str, expected: bool) -> None:
    """Where it is in doubt, the answer is no."""
    assert expected == sources.is_permissive(licence)


class Told(metadata.Distribution):
    """A package that says these things of itself."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self.message = Message()
        for name, value in fields:
            self.message[name] = value

    @property
    def metadata(self) -> Any:
        return self.message

    def read_text(self, filename: str) -> None:
        return None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "MIT"), ("License", "x")], "MIT"),
        ([("License", "Apache 2.0")], "Apache-2.0"),
        ([("License", "UNKNOWN"), ("Classifier", "License :: OSI Approved :: MIT License")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: GNU Something")], "GNU Something"),
        ([("License", "A long\ntext of its own")], "unknown"),
        ([], "unknown"),
    ],
)
def test_what_a_package_says_of_its_licence(fields: list[tuple[str, str]], expected: str) -> None:
    """The newest field first."""
    assert expected == sources.licence_of(Told(*fields))


def test_a_package_whose_licence_asks_for_more_is_refused(tmp_path: Path) -> None:
    """With its name and its licence."""
    folder = tmp_path / "node_modules" / "boats"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"license": "GPL-3.0"}', encoding="utf-8")
    for broken in ("{}", "[]", "{", '{"license": "GPL-3.0"}'):
        (folder / "package.json").write_text(broken, encoding="utf-8")
        with pytest.raises(PretrainingError, match=r"licence of boats .*; take it off the list"):
            sources.locate(part(archive=None, npm=["boats"]), [tmp_path])


# -- passages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n_shared"),
    [
        (FOX, 4),
        ("before " + FOX + " after", 4),
        ("THE QUICK, brown -- fox\njumps over\n\nthe lazy dog. And then it sleeps!", 1),
        ("the quick brown fox jumps over the lazy dog and then it", 0),  # twelve
        ("the quick brown fox jumps over the lazy cat and then it sleeps in the sun", 0),
        ("", 0),
    ],
)
def test_thirteen_words_in_a_row_are_found(text: str, n_shared: int) -> None:
    """Whatever the case, the punctuation and the lines; of sixteen words four runs."""
    shared, compared = Passages([FOX]).shared_with(text)
    assert shared == n_shared
    assert compared >= shared


def test_passages_of_nothing_are_in_nothing() -> None:
    """No test text, or one of a few words."""
    assert Passages([]).shared_with(FOX)[0] == 0
    assert Passages(["a few words"]).shared_with(FOX)[0] == 0


# -- the mixture -------------------------------------------------------------------------------


def test_every_text_is_learned_as_often_as_its_weight_says(tmp_path: Path) -> None:
    """Whole numbers are exact; the rest is a share of the texts, the same each time."""
    archive(tmp_path, numbered(400))
    (tmp_path / "more").mkdir()
    other = {f"more/{n}.md": f"Another {n}.\n" for n in range(400)}
    archive(tmp_path, other, "more.txt.xz")

    mixed = prepare(
        tmp_path, [part(weight=2), part(name="more", archive="more.txt.xz", weight=0.5)]
    )

    times = Counter(learned(mixed))
    twice = [times[line] for line in numbered(400).values()]
    half = [times[line] for line in other.values()]
    assert set(twice) <= {0, 2}
    assert 380 <= twice.count(2) < 400  # about a hundredth is held out
    assert set(half) <= {0, 1}
    assert 150 < sum(half) < 250
    assert "ü" in mixed.alphabet.characters
    read = [tally["characters_read"] for tally in mixed.parts]
    assert read == [sum(times[t] * len(t) for t in d.values()) for d in (numbered(400), other)]


def test_what_is_held_out_is_not_learned(tmp_path: Path) -> None:
    """And whatever may be handed on of it is the test text, each with its part."""
    archive(tmp_path, numbered(1_000))

    mixed = prepare(tmp_path, [part(test=["notes/*1.md", "notes/*2.md"])])

    known = set(learned(mixed))
    heldout = set(numbered(1_000).values()) - known
    assert 2 < len(heldout) < 30
    tested = list(mixed.test_texts())
    assert {piece.text for _, piece in tested} <= heldout
    assert {piece.path[-4:] for _, piece in tested} <= {"1.md", "2.md"}
    assert {name for name, _ in tested} <= {"docs"}


@pytest.mark.parametrize("odd", ["a\x1eb", "a\rb\r\n"])
def test_a_test_text_reads_back_as_it_was_written(odd: str, tmp_path: Path) -> None:
    """Whatever its documents hold; one that would fall into two is left out."""
    documents = {path: f"{odd} {text}" for path, text in numbered(1_000).items()}
    archive(tmp_path, documents)

    mixed = prepare(tmp_path, [part(test=["*"])])

    tested = {piece.path: piece.text for _, piece in mixed.test_texts()}
    assert bool(tested) == ("\x1e" not in odd)
    assert tested.items() <= documents.items()


def test_a_text_that_shares_a_passage_with_a_test_is_left_out_and_counted(tmp_path: Path) -> None:
    """The planted one goes, whole; what merely resembles it stays."""
    documents = numbered(50) | {
        "planted.md": f"An introduction.\n\n{FOX.upper()}\n",
        "like.md": "The quick brown fox jumps over the lazy dog.\n",
    }
    archive(tmp_path, documents)

    mixed = prepare(tmp_path, [part()], never=["A tale. " + FOX])

    texts = "".join(learned(mixed))
    assert "introduction" not in texts
    assert "the lazy dog." in texts
    (tally,) = mixed.parts
    assert (tally["overlapping"], tally["overlapping_characters"]) == (
        1,
        len(documents["planted.md"]),
    )
    assert tally["passages_shared"] == 4
    assert mixed.n_passages == 6


def test_a_text_that_is_there_twice_is_learned_once(tmp_path: Path) -> None:
    """In whatever part it comes again."""
    archive(tmp_path, {"a.md": FOX + "\n", "b.md": FOX + "\n"})
    archive(tmp_path, {"c.md": FOX + "\n"}, "more.txt.xz")

    mixed = prepare(tmp_path, [part(), part(name="more", archive="more.txt.xz")])

    assert learned(mixed) == [FOX + "\n"]
    assert [tally["duplicates"] for tally in mixed.parts] == [1, 1]


def test_long_texts_are_cut_at_the_end_of_a_line(tmp_path: Path) -> None:
    """And nothing of them is lost."""
    lines = [f"line {number} of a long text\n" for number in range(4_000)]
    archive(tmp_path, {"long.txt": "".join(lines)})

    mixed = prepare(tmp_path, [part()])

    assert set(learned(mixed)) <= set(lines)
    assert len(learned(mixed)) * 25 > 0.6 * len("".join(lines))


def test_a_corpus_is_prepared_once_as_long_as_nothing_changes(tmp_path: Path) -> None:
    """The same call reads nothing again; a change of anything does."""
    archive(tmp_path, numbered(60))
    first = prepare(tmp_path, [part()])
    again = prepare(tmp_path, [part()])
    assert again == first

    def differs(**changes: Any) -> bool:
        before = {path.name for path in (tmp_path / "runs").iterdir()}
        prepare(tmp_path, [part(**changes.pop("part", {}))], **changes)
        after = {path.name for path in (tmp_path / "runs").iterdir()}
        assert len(after) == 1  # the one before is gone: it can be made again
        return after != before

    assert differs(seed=1)
    assert differs(part={"weight": 0.9})
    assert differs(never=[FOX])
    archive(tmp_path, numbered(61))
    assert differs()


def test_interrupted_preparing_begins_again(tmp_path: Path) -> None:
    """And leaves nothing of the first try behind."""
    archive(tmp_path, numbered(60))

    def stop(documents: int, characters: int) -> None:
        if documents == 30:
            raise KeyboardInterrupt

    found = [sources.locate(part(), [tmp_path])]
    with pytest.raises(KeyboardInterrupt):
        mixture.prepare(found, [], tmp_path / "runs", 0, stop)
    assert not list((tmp_path / "runs").iterdir())
    mixed = prepare(tmp_path, [part()])

    assert len(learned(mixed)) > 50
    assert {path.name for path in mixed.folder.iterdir()} == {
        mixture.LEARN,
        mixture.HELDOUT,
        base.TEST,
        mixture.INDEX,
    }


def test_a_damaged_corpus_is_made_again(tmp_path: Path) -> None:
    """A file cut short, an index of another kind."""
    archive(tmp_path, numbered(60))
    whole = prepare(tmp_path, [part()])
    for name, data in (
        (mixture.LEARN, b"x"),
        (mixture.INDEX, b"{"),
        (mixture.INDEX, json.dumps({"key": "another"}).encode()),
        (mixture.INDEX, b"[]"),
    ):
        (whole.folder / name).write_bytes(data)
        assert prepare(tmp_path, [part()]) == whole


def test_a_disk_that_fails_at_any_moment_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next call, on a sound disk, prepares the same corpus."""
    archive(tmp_path, numbered(20))
    expected = prepare(tmp_path, [part()]).digest
    durable.retire(tmp_path / "runs")
    for nth in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        disk = crash_disks.FailingDisk(nth, errno.ENOSPC, for_ever=True)
        monkeypatch.setattr(durable, "disk", disk)
        with pytest.raises(durable.StateError, match=r"; free some space"):
            prepare(tmp_path, [part()])
        monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
        assert prepare(tmp_path, [part()]).digest == expected
        durable.retire(tmp_path / "runs")
