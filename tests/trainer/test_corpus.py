"""Folders become documents, everything else is told apart with its reason, and nothing stops it."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import get_args

import pytest
from afterword_trainer import finding, formats
from afterword_trainer.corpus import Document, Summary, documents, read, summarise
from afterword_trainer.finding import Found, Rules, find
from afterword_trainer.secrets import IN_WORDS, Kind
from afterword_trainer.skips import REASONS, Reason, Skipped
from hypothesis import given
from hypothesis import strategies as st

PROSE = "The sea was calm that morning, and nobody on the quay had seen the boat leave."


DEFAULT = Rules()


def tree(root: Path, files: dict[str, str | bytes]) -> Path:
    """Files below `root`, each a minute younger than the one before."""
    for minute, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (1_600_000_000 + 60 * minute,) * 2)
    return root


def learned(*roots: Path, rules: Rules = DEFAULT) -> dict[str, str]:
    """Texts by path, in order."""
    items = documents(roots, rules)
    return {item.path: item.text for item in items if isinstance(item, Document)}


def skipped(*roots: Path, rules: Rules = DEFAULT) -> dict[str, Reason]:
    items = documents(roots, rules)
    return {item.path: item.reason for item in items if isinstance(item, Skipped)}


def only(root: Path, rules: Rules = DEFAULT) -> Document | Skipped:
    (item,) = documents([root], rules)
    return item


# --- what a document is --------------------------------------------------------------------------


def test_a_document(tmp_path: Path) -> None:
    """Path from the root folder on, modification time, language, text, digest."""
    root = tree(tmp_path / "notes", {"sea/boat.md": "\ufeff# Boat\r\n\r\nIt left.\r"})

    expected = Document(
        path="notes/sea/boat.md",
        modified=1_600_000_000.0,
        language="markdown",
        text="# Boat\n\nIt left.\n",
        digest=blake2b(b"# Boat\n\nIt left.\n", digest_size=32).hexdigest(),
    )
    assert expected == only(root)


def test_a_named_file_is_called_as_its_folder_calls_it(tmp_path: Path) -> None:
    """Its header is the same whether the file was named or the folder around it."""
    root = tree(tmp_path / "notes", {"boat.md": PROSE})

    assert learned(root) == learned(root / "boat.md") == {"notes/boat.md": PROSE}


def test_oldest_first_then_by_path(tmp_path: Path) -> None:
    """The order of modification, whatever the names; equal times go by path."""
    root = tree(tmp_path / "r", {"c": "first", "b": "second", "a/z": "third", "a/y": "fourth"})
    for name in ("b", "a/z"):
        os.utime(root / name, (1_600_000_060, 1_600_000_060))

    assert list(learned(root)) == ["r/c", "r/a/z", "r/b", "r/a/y"]


@given(
    text=st.text(alphabet="aß猫\n 😀é.", min_size=1).filter(lambda t: t.strip()),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_any_text_in_any_unicode_encoding_with_any_newline(
    tmp_path_factory: pytest.TempPathFactory, text: str, newline: str, encoding: str
) -> None:
    """What is read is what was written, its lines ended by LF."""
    root = tree(
        tmp_path_factory.mktemp("r"), {"a.txt": text.replace("\n", newline).encode(encoding)}
    )
    item = only(root)

    assert isinstance(item, Document)
    assert text == item.text


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("essay.md", "markdown"),
        ("todo.org", "org"),
        ("thesis.TEX", "latex"),
        ("main.py", "python"),
        ("Makefile", "makefile"),
        ("letter", "text"),
        ("letter.unknown", "text"),
        ("notebook.ipynb", "jupyter"),
    ],
)
def test_languages(tmp_path: Path, name: str, language: str) -> None:
    """The language is known by the file's name."""
    notebook = json.dumps({"cells": [{"cell_type": "markdown", "source": PROSE}]})
    item = only(tree(tmp_path, {name: notebook if name.endswith("ipynb") else PROSE}))

    assert isinstance(item, Document)
    assert language == item.language
    assert item.text.strip() == PROSE


# --- what is left out ----------------------------------------------------------------------------


def test_what_is_skipped_by_name(tmp_path: Path) -> None:
    """Folders and files that are not their owner's writing, each with its reason."""
    root = tree(
        tmp_path / "r",
        {
            "pyproject.toml": "[project]\n",
            ".git/config": "x",
            ".obsidian/app.json": "x",
            "node_modules/a/index.js": "x",
            "env/pyvenv.cfg": "x",
            "build/out.txt": "x",
            "cache/CACHEDIR.TAG": "x",
            "private/.nolearn": "",
            "private/deep/diary.md": "x",
            "keys/.ssh/config": "x",
            "keys/server.pem": "x",
            ".env": "x",
            "Cargo.lock": "x",
            "app.min.js": "x",
            "table.csv": "x",
            "letters.mbox": "From a\n\nx",
            "letter.eml": "x",
            "paper.pdf": "x",
            "mail/cur/1": "x",
            "mail/new/2": "x",
            "mail/tmp/3": "x",
            "kept.md": PROSE,
        },
    )

    assert list(learned(root)) == ["r/pyproject.toml", "r/kept.md"]
    assert skipped(root) == {
        "r/.obsidian/": "hidden",
        "r/.env": "secret-file",
        "r/Cargo.lock": "lock-file",
        "r/app.min.js": "generated",
        "r/build/": "build",
        "r/cache/": "build",
        "r/env/": "dependencies",
        "r/keys/.ssh/": "secret-file",
        "r/keys/server.pem": "secret-file",
        "r/letter.eml": "mail",
        "r/letters.mbox": "mail",
        "r/mail/": "mail",
        "r/node_modules/": "dependencies",
        "r/paper.pdf": "pdf",
        "r/private/": "opted-out",
        "r/table.csv": "data",
    }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.md", b"", "empty"),
        ("a.md", b" \n\t\n", "empty"),
        ("a.md", b"text\0text", "binary"),
        ("a.md", b"\x89PNG\r\n\x1a\n\0\0", "binary"),
        ("a.md", b"\xff\xfea\xd8", "encoding"),
        ("a.md", "afterword: nolearn\n" + PROSE, "opted-out"),
        ("a.py", "# generated by a tool\nx = 1\n", "generated"),
        ("a.md", "x" * 1_000_000, "generated"),
        ("a.ipynb", "{", "broken"),
        ("a.docx", b"PK", "broken"),
        ("a.odt", b"", "broken"),
        ("a.md", "".join(f"key {n}: ghp_{n}{'aB3dE6gH' * 5}\n" for n in range(3)), "secrets"),
    ],
)
def test_what_is_skipped_by_content(
    tmp_path: Path, name: str, content: str | bytes, reason: Reason
) -> None:
    """Files that are found and then turn out not to be learned."""
    assert skipped(tree(tmp_path / "r", {name: content})) == {f"r/{name}": reason}


def test_ignore_files(tmp_path: Path) -> None:
    """Both kinds, nested, each with its own negations; neither reaches out of its folder."""
    root = tree(
        tmp_path / "r",
        {
            ".gitignore": "*.log.md\n!keep.log.md\nout/\n",
            ".afterwordignore": "drafts\n",
            "a.log.md": "1",
            "keep.log.md": "2",
            "out/b.md": "3",
            "drafts/c.md": "4",
            "sub/.afterwordignore": "/d.md\n",
            "sub/d.md": "5",
            "sub/sub/d.md": "6",
            "d.md": "7",
        },
    )

    assert list(learned(root)) == ["r/keep.log.md", "r/sub/sub/d.md", "r/d.md"]
    assert set(skipped(root).values()) == {"ignored"}


def test_ignore_files_above_the_root_up_to_its_repository(tmp_path: Path) -> None:
    """A folder inside a repository obeys the repository; one outside obeys nobody above."""
    files: dict[str, str | bytes] = {
        ".gitignore": "*.md",
        "repo/.git/HEAD": "x",
        "repo/.git/info/exclude": "b.txt",
        "repo/.gitignore": "a.txt\n/named/\n",
        "repo/sub/a.txt": "1",
        "repo/sub/b.txt": "2",
        "repo/sub/c.txt": "3",
        "repo/sub/d.md": "4",
        "repo/named/a.txt": "5",
    }
    root = tree(tmp_path, files)

    assert list(learned(root / "repo/sub")) == ["sub/c.txt", "sub/d.md"]
    # A folder that the user names is meant, even if its repository ignores it.
    assert list(learned(root / "repo/named")) == ["named/a.txt"]


def test_the_user_names_what_folders_would_pass_over(tmp_path: Path) -> None:
    """A named file is learned though hidden, ignored or large; never if secret or opted out."""
    root = tree(
        tmp_path / "r",
        {
            ".gitignore": "*",
            ".hidden.md": PROSE,
            "large.txt": (PROSE + "\n") * 100,
            "id_rsa": "x",
            "no/.nolearn": "",
            "no/deep/a.md": PROSE,
        },
    )
    rules = Rules(max_file_bytes=1000)
    named = [root / name for name in (".hidden.md", "large.txt", "id_rsa", "no/deep/a.md")]

    assert list(learned(*named, rules=rules)) == ["r/.hidden.md", "r/large.txt"]
    assert skipped(*named, root / "no/deep", rules=rules) == {
        "r/id_rsa": "secret-file",
        "a.md": "opted-out",
        "deep/": "opted-out",
    }


def test_mail_when_asked_for(tmp_path: Path) -> None:
    """Messages, mailboxes and Maildir folders, each message without what it quotes."""
    head = "From: Anna <anna@example.org>\nSubject: x\n\n"
    root = tree(
        tmp_path / "r",
        {
            "a.eml": f"{head}One.\n> quoted\n",
            "b.mbox": f"From a\n{head}Two.\n\nFrom b\n{head.replace('anna', 'ben')}Three.\n",
            "box/cur/1,S": f"{head}Four.\n-- \nAnna\n",
            "box/new/2": f"{head}Five.\n",
            "box/tmp/keep": "",
        },
    )
    mine = Rules(mail=True, mail_from=("anna@example.org",))

    assert learned(root, rules=mine) == {
        "r/a.eml": "One.\n",
        "r/b.mbox": "Two.\n",
        "r/box/cur/1,S": "Four.\n",
        "r/box/new/2": "Five.\n",
    }
    assert learned(root, rules=Rules(mail=True))["r/b.mbox"] == "Two.\n\nThree.\n"


# --- secrets and repetition ----------------------------------------------------------------------


def test_a_secret_leaves_a_break(tmp_path: Path) -> None:
    """Its line goes, the rest stays, and the document says how many went."""
    text = f"before\ntoken = ghp_{'aB3dE6gH' * 5}\nafter\n"
    item = only(tree(tmp_path, {"a.py": text}))

    assert isinstance(item, Document)
    assert (item.text, item.n_secrets) == ("before\n\nafter\n", 1)


def test_a_line_too_long_to_be_typed_goes(tmp_path: Path) -> None:
    """Data between the lines of a text is left out, as are the secrets that it may hold."""
    item = only(tree(tmp_path, {"a.md": f"before\n{'data ' * 3000}\nafter\n"}))

    assert isinstance(item, Document)
    assert item.text == "before\n\nafter\n"


def test_repeated_documents_and_paragraphs(tmp_path: Path) -> None:
    """The oldest copy is learned; blanks do not make a copy another text; short ones may repeat."""
    other = "Nobody had seen it leave, and yet it was gone when the mist had lifted from the bay."
    root = tree(
        tmp_path / "r",
        {
            "1.md": PROSE,
            "2.md": PROSE,
            "3.md": f"Short.\n\n{PROSE}\n\n{other}\n",
            "4.md": f"{PROSE.replace(' ', '  ')}\n\n{other}",
            "5.md": f"Short.\n\n{other}\n\nNew.",
        },
    )
    rules = Rules(min_repeat_chars=40)

    assert learned(root, rules=rules) == {
        "r/1.md": PROSE,
        "r/3.md": f"Short.\n\n{other}\n",
        "r/5.md": "Short.\n\nNew.",
    }
    assert skipped(root, rules=rules) == {"r/2.md": "duplicate", "r/4.md": "duplicate"}


# --- files and folders that are not what they seem -----------------------------------------------


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """Loops, links out, dangling ones: each is reported, none is followed."""
    root = tree(tmp_path / "r", {"a.md": PROSE, "sub/b.md": "b"})
    tree(tmp_path, {"outside.md": "outside"})
    (root / "sub/loop").symlink_to(root)
    (root / "out.md").symlink_to(tmp_path / "outside.md")
    (root / "dangling").symlink_to("nowhere")

    assert list(learned(root)) == ["r/a.md", "r/sub/b.md"]
    assert skipped(root) == {"r/sub/loop": "link", "r/out.md": "link", "r/dangling": "link"}


def test_links_that_the_user_names_are_meant(tmp_path: Path) -> None:
    """A root may be a link to a folder or to a file."""
    tree(tmp_path / "real", {"a.md": PROSE, "b.md": "b"})
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "file.md").symlink_to("real/b.md")

    assert list(learned(tmp_path / "folder")) == ["folder/a.md", "folder/b.md"]
    assert list(learned(tmp_path / "file.md")) == ["real/b.md"]


def test_a_file_that_is_reached_twice_is_read_once(tmp_path: Path) -> None:
    """Overlapping roots in any order, the same root again, hard links."""
    root = tree(tmp_path / "r", {"a.md": PROSE, "sub/b.md": "b"})
    (root / "sub/c.md").hardlink_to(root / "a.md")
    every = [root / "sub", root / "sub/b.md", root, root / ".." / "r", root / "a.md"]

    for roots in (every, every[::-1]):
        assert sorted(learned(*roots)) == ["r/a.md", "sub/b.md"]
    assert sorted(learned(root)) == ["r/a.md", "r/sub/b.md"]
    assert skipped(root) == {"r/sub/c.md": "duplicate"}


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe without a writer, a socket, a name that does not exist: no waiting, no crash."""
    root = tmp_path / "r"
    root.mkdir()
    os.mkfifo(root / "pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket.md"))

        assert skipped(root, root / "gone") == {
            "gone": "missing",
            "r/pipe.md": "special",
            "r/socket.md": "special",
        }


def test_a_pipe_for_an_ignore_file(tmp_path: Path) -> None:
    """An ignore file that nobody writes to is no reason to wait."""
    root = tree(tmp_path / "r", {"a.md": PROSE})
    os.mkfifo(root / ".gitignore")

    assert list(learned(root)) == ["r/a.md"]


Change = Callable[[Path], object]


def swap_for_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swap_for_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def swap_for_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def swap_folder_for_file(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file now")


def n_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def swap_for_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Path.unlink, "vanished"),
        (swap_for_pipe, "special"),
        (swap_for_socket, "special"),
        (swap_for_folder, "special"),
        (swap_for_link, "link"),
        (swap_folder_for_file, "vanished"),
        (lambda path: os.truncate(path, 5_000_000_000), "too-large"),
    ],
)
def test_a_file_that_changes_between_finding_and_reading(
    tmp_path: Path, change: Change, reason: Reason
) -> None:
    """Whatever takes its place, there is a reason and no exception."""
    tree(tmp_path / "r", {"sub/a.md": PROSE})
    (found,) = find([tmp_path / "r"], Rules())
    assert isinstance(found, Found)
    change(Path(found.file))
    n_open = n_descriptors()
    item = read(found, Rules())

    assert isinstance(item, Skipped)
    assert (item.path, item.reason) == ("r/sub/a.md", reason)
    assert n_open == n_descriptors()


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the old and half of the new text is no document."""
    root = tree(tmp_path / "r", {"a.md": PROSE})
    is_binary = formats.is_binary

    def write_meanwhile(head: bytes) -> bool:  # called between the first block and the rest
        (root / "a.md").write_text("new text")
        return is_binary(head)

    monkeypatch.setattr(formats, "is_binary", write_meanwhile)

    assert skipped(root) == {"r/a.md": "changed"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    """Folders and files without permission are reported, the others are learned."""
    root = tree(tmp_path / "r", {"a.md": PROSE, "b.md": "b", "sub/c.md": "c"})
    (root / "b.md").chmod(0)
    (root / "sub").chmod(0)
    try:
        assert list(learned(root)) == ["r/a.md"]
        assert skipped(root) == {"r/b.md": "unreadable", "r/sub/": "unreadable"}
    finally:
        (root / "sub").chmod(0o700)


def test_a_huge_sparse_file_is_not_read(tmp_path: Path) -> None:
    """Five gigabytes of nothing are skipped by their size, with the remedy."""
    root = tree(tmp_path / "r", {"a.md": PROSE})
    with (root / "sparse.txt").open("wb") as file:
        file.truncate(5_000_000_000)
    items = [item for item in documents([root], Rules()) if isinstance(item, Skipped)]

    assert items == [
        Skipped(
            path="r/sparse.txt",
            reason="too-large",
            detail="over 2 MB; name the file itself to learn it",
        )
    ]


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    """A file name of any bytes is read, and its path can be shown."""
    root = tmp_path / "r"
    root.mkdir()
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.md")).write_text(PROSE)
    except OSError:
        pytest.skip("this file system takes Unicode names only")

    assert list(learned(root)) == ["r/caf\ufffd.md"]


def test_folders_deeper_than_a_path_can_say(tmp_path: Path) -> None:
    """What the system cannot open is reported; the rest is walked."""
    root = tmp_path / "r"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    name = "d" * 200
    for _ in range(30):  # past the longest path that can be opened
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)

    assert set(skipped(root).values()) == {"unreadable"}
    shutil.rmtree(root)


def test_a_root_that_is_empty(tmp_path: Path) -> None:
    """An empty folder gives nothing, not even a skip."""
    assert list(documents([tmp_path], Rules())) == []
    assert list(documents([], Rules())) == []


# --- folder by folder ----------------------------------------------------------------------------


def test_folders_listed_one_by_one_hold_what_a_walk_finds(tmp_path: Path) -> None:
    """In whatever order: each knows what is in force in it."""
    root = tree(
        tmp_path / "r",
        {
            ".gitignore": "*.log\n/out\n",
            "a.md": "a",
            "b.txt.log": "no",
            "sub/.afterwordignore": "c.*\n",
            "sub/c.md": "no",
            "sub/deep/d.md": "d",
            "node_modules/e.md": "no",
            "closed/.nolearn": "",
            "closed/inner/f.md": "no",
        },
    )
    waiting, items = [finding.top(root, DEFAULT)], []
    while waiting:
        with finding.listed(waiting.pop(0), DEFAULT) as listing:
            items += [listing.refused] if listing.refused else []
            for item in listing.items:
                waiting.append(item) if isinstance(item, finding.Folder) else items.append(item)

    assert sorted(items, key=lambda item: item.path) == sorted(
        find([root], DEFAULT), key=lambda item: item.path
    )


def test_a_listing_tells_an_empty_folder_from_one_that_is_none(tmp_path: Path) -> None:
    """And from another folder that has taken its place, or a link to one."""
    root = tree(tmp_path / "r", {"a.md": "a"})
    (root / "empty").mkdir()
    with finding.listed(finding.top(root, DEFAULT), DEFAULT) as listing:
        _, inner = listing.items
    assert isinstance(inner, finding.Folder)

    def names() -> frozenset[str]:
        with finding.listed(inner, DEFAULT) as listing:
            return listing.names

    n_open = n_descriptors()
    assert names() == frozenset()
    (root / "empty").rename(root / "other")
    with pytest.raises(FileNotFoundError):
        names()
    (root / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        names()
    (root / "empty").rmdir()
    (root / "empty").symlink_to(root / "other")
    with pytest.raises(OSError, match=r"."):
        names()
    assert n_open == n_descriptors()


def test_only_the_file_that_was_found_is_read(tmp_path: Path) -> None:
    """Not one of the same name, behind a link that has taken the place of a folder above."""
    root = tree(tmp_path / "r", {"sub/a.md": PROSE})
    tree(tmp_path / "outside", {"a.md": "not meant"})
    (found,) = find([root], DEFAULT)
    assert isinstance(found, Found)
    (root / "sub").rename(tmp_path / "sub")
    (root / "sub").symlink_to(tmp_path / "outside")

    assert read(found, DEFAULT) == Skipped(path="r/sub/a.md", reason="changed")


def test_patterns_of_the_settings(tmp_path: Path) -> None:
    """They hold in every folder, and no ignore file in there undoes them."""
    root = tree(
        tmp_path / "r", {"a.md": PROSE, "b/drafts/c.md": "no", "b/.afterwordignore": "!drafts\n"}
    )
    rules = Rules(ignore=("drafts/",))

    assert list(learned(root, rules=rules)) == ["r/a.md"]
    (item,) = (item for item in documents([root], rules) if isinstance(item, Skipped))
    assert (item.path, item.detail) == ("r/b/drafts/", "by the settings")


# --- figures -------------------------------------------------------------------------------------


def test_summary(tmp_path: Path) -> None:
    """Languages, folders and reasons, the largest first; JSON as it stands."""
    root = tree(
        tmp_path / "r",
        {
            "a.md": "four",
            "sub/b.py": "eleven = 11",
            "sub/deep/c.py": f"k = 'ghp_{'aB3dE6gH' * 5}'\nx\n",
            "empty.md": "",
            "data.csv": "1",
            "more.csv": "1",
        },
    )
    summary = summarise(documents([root], Rules()))

    assert json.loads(json.dumps(summary.to_json())) == {
        "documents": 3,
        "characters": 18,
        "secrets_removed": 1,
        "languages": {
            "python": {"documents": 2, "characters": 14},
            "markdown": {"documents": 1, "characters": 4},
        },
        "folders": {
            "r/sub": {"documents": 2, "characters": 14},
            "r": {"documents": 1, "characters": 4},
        },
        "files_skipped": 3,
        "skipped": {"data": 2, "empty": 1},
    }
    assert list(summary.to_json()["skipped"]) == ["data", "empty"]
    assert (summary.n_skipped, summary.n_secrets) == (3, 1)
    assert Summary().to_json()["documents"] == 0


def test_every_reason_has_its_words() -> None:
    """What programs get as a code, people get as a phrase."""
    codes = {code for part in get_args(Reason) for code in (get_args(part) or (part,))}

    assert codes == set(REASONS)


# --- size ----------------------------------------------------------------------------------------

PEAK = """
import sys
from afterword_trainer.corpus import documents
from afterword_trainer.finding import Rules
n = sum(len(getattr(item, "text", "")) for item in documents([sys.argv[1]], Rules()))
# The peak of this process alone: getrusage also counts the parent that it was forked from.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(n, peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """Thirty times the files take at most 1.3 times the memory, the interpreter included."""
    generator = random.Random(7)
    words = [
        "".join(generator.choices("etaoinshrdlu", k=generator.randint(2, 9))) for _ in range(5000)
    ]

    def fill(folder: Path, n_bytes: int) -> Path:
        for n in range(n_bytes // 20_000):
            paragraphs = (" ".join(generator.choices(words, k=60)) for _ in range(52))
            path = folder / f"{n % 40}" / f"{n}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n\n".join(paragraphs))
        return folder

    peaks = []
    for size in (2_000_000, 60_000_000):
        folder = fill(tmp_path / str(size), size)
        command = [sys.executable, "-c", PEAK, str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        n_characters, peak = map(int, done.stdout.split())
        assert n_characters > 0.8 * size
        peaks.append(peak)

    assert peaks[1] <= 1.3 * peaks[0]


def test_a_link_leads_to_nothing_that_was_opted_out(tmp_path: Path) -> None:
    """What lies above the folder that it leads to counts, as it does without the link."""
    tree(tmp_path / "private", {".nolearn": "", "in/a.md": "a"})
    (tmp_path / "link").symlink_to(tmp_path / "private" / "in")
    for root in (tmp_path / "private" / "in", tmp_path / "link"):
        (skipped,) = find([root], DEFAULT)
        assert isinstance(skipped, Skipped)
        assert skipped.reason == "opted-out"


def test_our_own_ignore_file_holds_without_a_repository(tmp_path: Path) -> None:
    """From whatever folder above; and where git excludes a folder that the user means."""
    tree(tmp_path, {"top/.afterwordignore": "draft*\n", "top/in/notes/draft.md": f"{PROSE}\nc"})
    tree(tmp_path, {"top/in/notes/a.md": PROSE, "top/in/notes/b.md": f"{PROSE}\nb"})
    notes = tmp_path / "top/in/notes"
    assert {*learned(notes)} == {"notes/a.md", "notes/b.md"}
    (tmp_path / "top/.git").mkdir()
    tree(tmp_path, {"top/.gitignore": "in/\n", "top/in/.afterwordignore": "b.*\n"})
    assert {*learned(notes)} == {"notes/a.md"}
    # The folder that is named is meant, and the other patterns hold.
    tree(tmp_path, {"top/.afterwordignore": "in/\ndraft*\n"})
    assert {*learned(notes)} == {"notes/a.md"}
    tree(tmp_path, {"top/.afterwordignore": ""})
    assert {*learned(notes)} == {"notes/a.md", "notes/draft.md"}


def test_our_own_ignore_file_may_be_a_link(tmp_path: Path) -> None:
    """As those make them who keep such files together."""
    tree(tmp_path, {"notes/a.md": PROSE, "notes/b.md": f"{PROSE}\nb", "dots/ignore": "b.*\n"})
    (tmp_path / "notes/.afterwordignore").symlink_to("../dots/ignore")
    assert {*learned(tmp_path / "notes")} == {"notes/a.md"}


def test_the_lines_of_secrets_are_known(tmp_path: Path) -> None:
    """Where each began, and what it looked like; the text has an empty line there."""
    (tmp_path / "a.md").write_text(
        "One.\npassword: hunter2xyz\n\nTwo.\nhttps://me:s3cretpw@host.org/x\n", encoding="utf-8"
    )
    (found,) = documents([tmp_path], Rules())
    assert isinstance(found, Document)
    assert found.text == "One.\n\n\nTwo.\n\n"
    assert found.secret_lines == ((2, "said"), (5, "url"))
    assert found.n_secrets == 2
    assert IN_WORDS.keys() == set(get_args(Kind))
