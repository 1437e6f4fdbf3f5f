"""What is saved in a watched folder is told, once; what is gone is forgotten; nothing else is."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from afterword_daemon.protocol import MAX_TEXT
from afterword_daemon.watching.messages import INDEX, Folder, FromReader, Saved
from afterword_daemon.watching.pipe import Ended
from afterword_daemon.watching.watcher import LOSES_EVENTS, Hint, Lost, Names, Watcher
from afterword_daemon.watching.watcher import start as start_watcher
from afterword_trainer import corpus, finding, skips
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from readers import QUIET_S, Memory, ThreadReader

Start = Callable[..., ThreadReader]
TEXT = "The sea was calm that morning.\n"


class Recording:
    """A watcher that writes down what it watches."""

    def __init__(self, inner: Watcher, watched: set[tuple[str, Names]]) -> None:
        self.inner, self.watched = inner, watched

    def add(self, folder: str, names: Names = None) -> None:
        self.watched.add((folder, names))
        self.inner.add(folder, names)

    def remove(self, folder: str, names: Names = None) -> None:
        self.watched.discard((folder, names))
        self.inner.remove(folder, names)

    def close(self) -> None:
        self.inner.close()


def tree(root: Path, files: dict[str, str | bytes]) -> None:
    """Files below `root`, each a minute younger than the one before, and none of them new."""
    for minute, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (1_600_000_000 + 60 * minute,) * 2)


# -- a first look ------------------------------------------------------------------------------


def test_a_first_look_tells_what_is_there_oldest_first(
    notes: Path, start: Start, memory: Memory
) -> None:
    """So that the newest is learned last; the text is as the corpus has it."""
    tree(notes, {"b.md": "One.\r\n", "a/c.py": "two = 2\n", "data.csv": "1,2\n", ".hidden": "x"})
    reader = start()
    reader.look(notes)

    assert [("saved", f"{notes}/b.md"), ("saved", f"{notes}/a/c.py")] == memory.log
    first = memory.last[f"{notes}/b.md"]
    assert (first.text, first.characters) == ("One.\n", 5)
    folder = memory.folders[str(notes)]
    assert (folder.mode, folder.detail, folder.files, folder.skipped) == ("events", "", 2, 2)


def test_a_first_look_tells_only_what_the_memory_can_hold(
    notes: Path, start: Start, memory: Memory
) -> None:
    """The newest files; the others count as known, until they change."""
    tree(notes, {f"{number}.md": f"{number:09}\n" for number in range(20)})
    reader = start()
    reader.look(notes, most=50)

    assert [f"{notes}/{number}.md" for number in range(15, 20)] == list(memory.texts)
    (notes / "3.md").write_text("changed")
    reader.hear_until(lambda: memory.texts.get(f"{notes}/3.md") == "changed")
    assert memory.folders[str(notes)].files == 20


def test_only_the_end_of_a_long_text_is_told(notes: Path, start: Start, memory: Memory) -> None:
    """As much as a message holds; the length of the whole is told."""
    text = "".join(f"line {number}\n" for number in range(40_000))
    tree(notes, {"long.txt": text})
    start().look(notes)

    saved = memory.last[f"{notes}/long.txt"]
    assert (text[-MAX_TEXT:], len(text)) == (saved.text, saved.characters)


def test_no_secret_is_told(notes: Path, start: Start, memory: Memory) -> None:
    """Files are cleaned as they are for the trainer."""
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    tree(notes, {"a.md": f"The key:\ntoken = {key[:40]}\nis old.\n", ".env": "PASSWORD=x"})
    start().look(notes)

    assert list(memory.texts.values()) == ["The key:\n\nis old.\n"]


def test_names_that_are_no_unicode_are_told_apart(
    notes: Path, start: Start, memory: Memory
) -> None:
    """A message has no room for their bytes, and two files are still two."""
    for name in (b"caf\xe9.md", b"caf\xe8.md"):
        Path(os.fsdecode(bytes(notes) + b"/" + name)).write_text(f"{name!r}")
    reader = start()
    reader.hear_texts({}, 0.0)
    reader.look(notes)
    expected = {
        f"file:{notes}/caf%E9.md": repr(b"caf\xe9.md"),
        f"file:{notes}/caf%E8.md": repr(b"caf\xe8.md"),
    }
    reader.hear_texts(expected)


# -- saving ------------------------------------------------------------------------------------


def in_place(path: Path, text: str) -> None:
    with path.open("r+") as file:
        file.truncate()
        file.write(text)


def appending(path: Path, text: str) -> None:
    path.write_text(text[:5])
    for character in text[5:]:
        with path.open("a") as file:
            file.write(character)


def as_vim(path: Path, text: str) -> None:
    """A probe of the folder, a swap file, a backup by renaming, then a new file."""
    probe, backup = path.with_name("4913"), path.with_name(f"{path.name}~")
    swap = path.with_name(f".{path.name}.swp")
    swap.write_bytes(b"b0VIM")
    probe.touch()
    probe.unlink()
    path.rename(backup)
    path.write_text(text)
    path.chmod(0o644)
    backup.unlink()
    swap.unlink()


def as_vs_code(path: Path, text: str) -> None:
    """Truncated and written; or, with its atomic saving, a file beside it that is renamed."""
    beside = path.with_name(f"{path.name}.vsctmp")
    beside.write_text(text)
    beside.replace(path)


def as_jetbrains(path: Path, text: str) -> None:
    new, old = (path.with_name(f"{path.name}___jb_{kind}___") for kind in ("tmp", "old"))
    new.write_text(text)
    path.rename(old)
    new.rename(path)
    old.unlink()


def as_emacs(path: Path, text: str) -> None:
    """A lock that is a dangling link, an autosave, and a backup that is a copy."""
    lock, auto = path.with_name(f".#{path.name}"), path.with_name(f"#{path.name}#")
    lock.symlink_to("someone@somewhere.1234")
    auto.write_text(text[:7])
    shutil.copy2(path, path.with_name(f"{path.name}~"))
    path.write_text(text)
    auto.unlink()
    lock.unlink()


STYLES = [in_place, appending, as_vim, as_vs_code, as_jetbrains, as_emacs]


@pytest.mark.parametrize("save", STYLES)
def test_a_save_is_told_once(
    save: Callable[[Path, str], None], notes: Path, start: Start, memory: Memory
) -> None:
    """However an editor goes about it, and nothing of what it leaves beside the file."""
    path = notes / "a.md"
    tree(notes, {"a.md": "before"})
    reader = start()
    reader.look(notes)
    memory.log.clear()
    save(path, TEXT)
    reader.hear_until(lambda: memory.texts == {str(path): TEXT})
    reader.hear_of(notes / "z.md")

    assert [("saved", str(path)), ("saved", f"{notes}/z.md")] == memory.log


def test_a_touched_file_is_not_told_again(notes: Path, start: Start, memory: Memory) -> None:
    """Its text is the same."""
    tree(notes, {"a.md": TEXT})
    reader = start()
    reader.look(notes)
    (notes / "a.md").touch()
    (notes / "a.md").chmod(0o600)
    reader.hear_of(notes / "z.md")

    assert [("saved", f"{notes}/a.md"), ("saved", f"{notes}/z.md")] == memory.log


def test_what_is_told_again_counts_only_once(notes: Path, start: Start, memory: Memory) -> None:
    """By another reader, of another memory; and of what is written on, what was added."""
    path = notes / "a.md"

    def counted() -> int:
        reader.hear_until(lambda: str(path) in memory.last)
        return memory.last.pop(str(path)).characters

    path.write_text(TEXT)
    reader = start()
    reader.look(notes)
    assert counted() == len(TEXT)
    reader.end()
    reader = start()  # nothing was stored: it is owed
    reader.look(notes)
    assert counted() == 0
    memory.id = "two"
    reader.look(notes)
    assert counted() == 0
    with path.open("a") as file:
        file.write("More.\n")
    assert counted() == len("More.\n")
    as_vim(path, "Else.\n")
    assert counted() == len("Else.\n")


def test_of_what_is_not_to_be_learned_any_more_no_digest_is_kept(
    notes: Path, start: Start, memory: Memory, home: Paths
) -> None:
    """Neither of a file that is gone, nor of one that opts out."""
    tree(notes, {"a.md": TEXT, "b.md": TEXT + TEXT})
    reader = start()
    reader.look(notes)
    (notes / "a.md").unlink()
    (notes / "b.md").write_text("afterword: nolearn\n")
    reader.hear_until(lambda: not memory.texts)
    reader.end()
    with closing(sqlite3.connect(home.data / INDEX)) as index:
        found = index.execute("select told, counted, n_counted from files").fetchall()
    assert {*found} <= {(None, None, 0)}


def test_a_file_that_is_written_all_the_time_is_told_now_and_then(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when it comes to rest."""
    monkeypatch.setattr("afterword_daemon.watching.hints.MOST_DELAY_S", 0.5)
    reader = start()
    reader.look(notes, quiet_s=0.4)
    path = notes / "a.md"
    with path.open("w") as file:
        while str(path) not in memory.texts:
            print(TEXT, file=file, flush=True)
            reader.hear(0.05)
    assert path.read_text().startswith(memory.texts[str(path)])


def coarse(status: os.stat_result) -> bytes:
    """What is left of a key where the clock has not moved on."""
    return f"{status.st_ino} {status.st_size}".encode()


def test_a_new_text_of_the_same_size_and_time_is_told(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock too coarse to tell: what had just changed when it was read is read again."""
    for module in ("folders", "index", "reader"):
        monkeypatch.setattr(f"afterword_daemon.watching.{module}.key_of", coarse)
    path = notes / "a.md"
    path.write_text("one")
    reader = start()
    reader.look(notes)
    reader.hear_texts({str(path): "one"})
    path.write_text("two")
    reader.hear_texts({str(path): "two"})


def test_a_file_on_an_ill_disk_is_tried_at_every_look(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing about it changes when the disk is well again."""
    is_ill, read = True, corpus.read

    def read_or_not(found: finding.Found, rules: finding.Rules) -> corpus.Document | skips.Skipped:
        if is_ill:
            return skips.Skipped(path=found.path, reason="unreadable")
        return read(found, rules)

    monkeypatch.setattr(corpus, "read", read_or_not)
    monkeypatch.setattr("afterword_daemon.watching.reader.RACY_S", 0.0)
    tree(notes, {"a.md": TEXT})
    reader = start()
    reader.look(notes)
    assert memory.log == []
    is_ill = False
    reader.rescan()
    assert {f"{notes}/a.md": TEXT} == memory.texts


def test_a_time_to_come_is_no_reason_to_tell_again(
    notes: Path, start: Start, memory: Memory
) -> None:
    """The clock was set back; what is in the file decides."""
    path = notes / "a.md"
    path.write_text("one")
    os.utime(path, (4_000_000_000, 4_000_000_000))
    reader = start()
    reader.look(notes)
    reader.rescan()
    reader.rescan()
    assert [("saved", str(path))] == memory.log


@pytest.mark.parametrize("ns", [2**63, 10**19, -(2**61)])
def test_a_time_that_no_clock_shows_is_a_time(
    ns: int, notes: Path, start: Start, memory: Memory
) -> None:
    """Some disks keep times after 2262; a file with such a one is read and told as any other."""
    path = notes / "a.md"
    tree(notes, {"a.md": "one", "b.md": "other"})
    os.utime(path, ns=(ns, ns))
    reader = start()
    reader.look(notes)
    assert memory.texts == {str(path): "one", f"{notes}/b.md": "other"}
    path.write_text("two")
    reader.hear_texts(memory.texts | {str(path): "two"})


def test_a_clock_that_was_set_back_costs_no_reading_again(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are then of a time to come, for ten years perhaps; each is read once."""
    n_read, read = 0, corpus.read

    def counted(found: finding.Found, rules: finding.Rules) -> corpus.Document | skips.Skipped:
        nonlocal n_read
        n_read += 1
        return read(found, rules)

    monkeypatch.setattr(corpus, "read", counted)
    tree(notes, {f"{number}.md": TEXT for number in range(20)})
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3650 * 86400 * 10**9)
    monkeypatch.setattr(time, "time", lambda: now / 1e9 - 3650 * 86400)
    reader = start()
    reader.look(notes)
    for _ in range(3):
        reader.rescan()
    assert n_read == 20
    (notes / "3.md").write_text("new")
    os.utime(notes / "3.md", ns=(now - 3650 * 86400 * 10**9,) * 2)
    reader.hear_until(lambda: memory.texts[f"{notes}/3.md"] == "new")


def test_a_burst_is_told_as_far_as_the_memory_goes(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Another branch: of a hundred files that change at once, the newest; the rest is forgotten."""
    tree(notes, {f"{number}.md": "one\n" for number in range(100)})
    reader = start()
    reader.look(notes, most=400)
    assert len(memory.texts) == 100
    tree(notes, {f"{number}.md": f"{number:09}\n" for number in range(100)})
    reader.hear_until(lambda: len(memory.texts) == 40)

    assert {f"{notes}/{number}.md" for number in range(60, 100)} == set(memory.texts)


def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are looked at from now on, one by one."""
    names: list[str] = []

    def entry(descriptor: int, name: str, *others: object) -> object:
        names.append(name)
        return judge(descriptor, name, *others)  # type: ignore[arg-type]

    judge = finding._judged_entry
    monkeypatch.setattr(finding, "_judged_entry", entry)
    return names


def test_a_save_in_a_large_folder_costs_no_look_at_all_of_it(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only at the names that were hinted: saved, new, deleted, by another spelling, a folder."""
    tree(notes, {f"{number}.md": "" for number in range(1200)})
    reader = start()
    reader.look(notes)
    names = judged(monkeypatch)
    as_vim(notes / "7.md", "seven")
    reader.hear_until(lambda: memory.texts == {f"{notes}/7.md": "seven"})
    tree(notes, {"new/a.md": TEXT})
    reader.hear_until(lambda: f"{notes}/new/a.md" in memory.texts)
    (notes / "7.md").unlink()
    shutil.rmtree(notes / "new")
    reader.hear_texts({})
    assert {"7.md", "new"} <= {*names} <= {"7.md", "new", "a.md", "4913", "7.md~", ".7.md.swp"}


def test_an_ignore_file_in_a_large_folder_is_about_all_of_it(
    notes: Path, start: Start, memory: Memory
) -> None:
    """Who changes it changes what becomes of every name."""
    tree(notes, {f"{number}.md": "" for number in range(1200)})
    tree(notes, {"1.md": TEXT, "2.md": TEXT})
    reader = start()
    reader.look(notes)
    (notes / ".gitignore").write_text("1.*\n")
    reader.hear_texts({f"{notes}/2.md": TEXT})
    (notes / ".nolearn").touch()
    reader.hear_texts({})
    (notes / ".nolearn").unlink()
    (notes / ".gitignore").unlink()
    reader.hear_texts({f"{notes}/{number}.md": TEXT for number in (1, 2)})


# -- moving and deleting -----------------------------------------------------------------------


def test_what_is_deleted_is_forgotten(notes: Path, start: Start, memory: Memory) -> None:
    """A file, and a folder with all that is in it."""
    tree(notes, {"a.md": TEXT, "b/c.md": TEXT, "b/d/e.md": TEXT, "f.md": TEXT})
    reader = start()
    reader.look(notes)
    (notes / "a.md").unlink()
    shutil.rmtree(notes / "b")
    reader.hear_texts({f"{notes}/f.md": TEXT})


@pytest.mark.parametrize("runs", [True, False])
def test_a_folder_may_be_emptied(runs: bool, notes: Path, start: Start, memory: Memory) -> None:
    """Somebody has deleted its only file: it is there, so nobody has taken its disk out."""
    tree(notes, {"a.md": TEXT})
    reader = start()
    reader.look(notes)
    reader.stored()
    if not runs:
        reader.end()
    (notes / "a.md").unlink()
    if not runs:
        reader = start()
        reader.look(notes)
    reader.hear_texts({})
    assert memory.folders[str(notes)].mode == "events"
    reader.hear_of(notes / "z.md")


def test_a_folder_that_is_moved_in_is_told_and_watched(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """With all that is below it, also what is saved there later."""
    tree(notes, {"a.md": TEXT})
    tree(tmp_path, {"other/b/c/d.md": TEXT})
    reader = start()
    reader.look(notes)
    (tmp_path / "other").rename(notes / "other")
    deep = notes / "other/b/c/d.md"
    reader.hear_texts({f"{notes}/a.md": TEXT, str(deep): TEXT})
    deep.write_text("later")
    reader.hear_texts({f"{notes}/a.md": TEXT, str(deep): "later"})


def test_a_folder_that_is_moved_out_is_read_no_more(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Neither under its old name nor under its new one."""
    tree(notes, {"a.md": TEXT, "b/c/d.md": TEXT})
    reader = start()
    reader.look(notes)
    (notes / "b").rename(tmp_path / "b")
    (tmp_path / "b/c/d.md").write_text("outside")
    reader.hear_texts({f"{notes}/a.md": TEXT})
    (tmp_path / "b/c/d.md").write_text("outside again")
    reader.hear_of(notes / "z.md")

    assert "outside" not in " ".join(memory.said)


def test_a_folder_that_is_renamed_is_watched_under_its_new_name(
    notes: Path, start: Start, memory: Memory
) -> None:
    """The kernel goes on to tell of it as it was called before."""
    tree(notes, {"a/b/c.md": TEXT, "d/e.md": TEXT})
    reader = start()
    reader.look(notes)
    (notes / "a").rename(notes / "d/a")
    reader.hear_texts({f"{notes}/d/a/b/c.md": TEXT, f"{notes}/d/e.md": TEXT})
    (notes / "d/a/b/c.md").write_text("later")
    reader.hear_texts({f"{notes}/d/a/b/c.md": "later", f"{notes}/d/e.md": TEXT})


def test_a_file_by_two_names_is_told_by_both(notes: Path, start: Start, memory: Memory) -> None:
    """Only one of them is in the event."""
    tree(notes, {"a/one.md": TEXT, "b/else.md": TEXT})
    (notes / "b/two.md").hardlink_to(notes / "a/one.md")
    reader = start()
    reader.look(notes)
    with (notes / "a/one.md").open("a") as file:
        file.write("More.\n")
    expected = {f"{notes}/{name}": f"{TEXT}More.\n" for name in ("a/one.md", "b/two.md")}
    reader.hear_texts({**expected, f"{notes}/b/else.md": TEXT})


# -- what is never read ------------------------------------------------------------------------


def test_nothing_outside_the_folders_is_read(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Not through links to files or folders, not where a link takes a folder's place."""
    tree(tmp_path, {"outside/b/c.md": "outside"})
    tree(notes, {"a.md": TEXT, "b/c.md": TEXT})
    (notes / "link.md").symlink_to(tmp_path / "outside/b/c.md")
    (notes / "folder").symlink_to(tmp_path / "outside")
    reader = start()
    reader.look(notes)
    shutil.rmtree(notes / "b")
    (notes / "b").symlink_to(tmp_path / "outside/b")
    (tmp_path / "outside/b/c.md").write_text("outside again")
    (notes / "a.md").unlink()
    (notes / "a.md").symlink_to(tmp_path / "outside/b/c.md")
    reader.hear_texts({})
    reader.hear_of(notes / "z.md")

    assert "outside" not in " ".join(memory.said)


def test_a_link_that_takes_a_folders_place_while_files_wait_leads_nowhere(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Between the listing and the reading, above the file, with the same name below."""
    tree(tmp_path, {"outside/c.md": "outside"})
    tree(notes, {"b/c.md": TEXT, "a.md": TEXT})

    def swap(message: FromReader) -> None:  # a Folder, when all is listed and nothing read
        if isinstance(message, Folder) and not (tmp_path / "b").exists():
            (notes / "b").rename(tmp_path / "b")
            (notes / "b").symlink_to(tmp_path / "outside")

    reader = start(before=swap)
    reader.look(notes)
    reader.hear_texts({f"{notes}/a.md": TEXT})
    assert "outside" not in " ".join(memory.said)


def test_our_own_files_are_not_read(home: Paths, start: Start, memory: Memory) -> None:
    """Not even where the user has the folder above them watched, or one of them itself."""
    ours = home.data
    tree(ours.parent, {"data/reports/a.md": TEXT, "logs/b.md": TEXT, "c.md": TEXT})
    reader = start()
    reader.look(ours.parent, ours / "reports")

    assert {f"{ours.parent}/c.md": TEXT} == memory.texts
    assert "Afterword's own" in memory.folders[f"{ours}/reports"].detail


def test_what_is_ignored_is_not_watched(notes: Path, start: Start, memory: Memory) -> None:
    """By ignore files, by the settings and by name; a repository cannot undo the settings."""
    tree(
        notes,
        {
            ".git/info/x.md": "no",
            "node_modules/x.md": "no",
            ".gitignore": "ignored/\n",
            "ignored/x.md": "no",
            ".afterwordignore": "!drafts/\n",
            "drafts/x.md": "no",
            "a.md": TEXT,
        },
    )
    watched: set[tuple[str, Names]] = set()

    def recording(hint: Hint, lost: Lost) -> Watcher:
        return Recording(start_watcher(hint, lost), watched)

    reader = start(start_watcher=recording)
    reader.look(notes, ignore=["drafts/"])
    assert {str(notes)} == {folder for folder, names in watched if names is None}
    for folder in (".git/info", "node_modules", "ignored", "drafts"):
        (notes / folder / "x.md").write_text("no, again")
    reader.hear_of(notes / "z.md")

    assert {f"{notes}/a.md", f"{notes}/z.md"} == set(memory.texts)


def test_an_owner_may_change_his_mind(notes: Path, start: Start, memory: Memory) -> None:
    """What is opted out or ignored later is forgotten, and told again when it is no longer."""
    tree(notes, {"a/b/c.md": TEXT, "d.md": TEXT, "e.md": TEXT})
    both, only = (
        {f"{notes}/{name}": TEXT for name in names}
        for names in (("a/b/c.md", "d.md", "e.md"), ("e.md",))
    )
    reader = start()
    reader.look(notes)
    reader.hear_texts(both)

    (notes / "a/.nolearn").touch()
    (notes / "d.md").write_text(f"{TEXT}<!-- afterword: nolearn -->\n")
    reader.hear_texts(only)
    (notes / "a/.nolearn").unlink()
    (notes / "d.md").write_text(TEXT)
    reader.hear_texts(both)
    (notes / ".gitignore").write_text("b/\nd.*\n")
    reader.hear_texts(only)
    (notes / ".gitignore").unlink()
    reader.hear_texts(both)


def test_what_was_forgotten_is_not_read_again(
    home: Paths, notes: Path, start: Start, memory: Memory
) -> None:
    """Nor what lies in a folder that was; what is told of it already is gone."""
    tree(notes, {"a.md": TEXT, "b/c.md": TEXT, "d.md": TEXT})
    reader = start()
    reader.look(notes)
    assert len(memory.texts) == 3
    Forgotten.load(home).add(notes / "a.md", notes / "b")
    reader.rescan()

    assert {f"{notes}/d.md": TEXT} == memory.texts
    (notes / "b/c.md").write_text("again")
    reader.hear_of(notes / "d.md")
    assert [f"{notes}/d.md"] == list(memory.texts)


# -- other settings ----------------------------------------------------------------------------


def test_folders_come_and_go(notes: Path, tmp_path: Path, start: Start, memory: Memory) -> None:
    """What lies in one that is no longer named is forgotten; one may lie in another."""
    tree(notes, {"a.md": TEXT, "b/c.md": TEXT})
    tree(tmp_path, {"letters/d.md": TEXT})
    reader = start()
    every = {f"{notes}/a.md": TEXT, f"{notes}/b/c.md": TEXT, f"{tmp_path}/letters/d.md": TEXT}
    for folders, names in [
        ([notes], ["a.md", "c.md"]),
        ([notes, tmp_path / "letters"], ["a.md", "c.md", "d.md"]),
        ([notes, notes / "b"], ["a.md", "c.md"]),
        ([notes / "b"], ["c.md"]),
        ([], []),
        ([notes], ["a.md", "c.md"]),
    ]:
        reader.look(*folders)
        reader.hear_texts({path: TEXT for path in every if Path(path).name in names})
    (notes / "b/c.md").write_text("later")
    reader.hear_texts({f"{notes}/a.md": TEXT, f"{notes}/b/c.md": "later"})


def test_a_folder_by_two_names_is_one(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """A link that the user names is meant, and followed."""
    tree(notes, {"a.md": TEXT})
    (tmp_path / "link").symlink_to(notes)
    reader = start()
    reader.look(tmp_path / "link", notes)
    assert {f"{tmp_path}/link/a.md": TEXT} == memory.texts


# -- a folder that is not there ----------------------------------------------------------------


@pytest.mark.parametrize("back", ["renamed", "replaced"])
def test_a_folder_that_is_gone_is_waited_for(
    back: str, notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is forgotten; it may be on a disk that was taken out."""
    monkeypatch.setattr("afterword_daemon.watching.folders.AWAY_S", 0.2)
    tree(notes, {"a.md": TEXT, "b/c.md": TEXT})
    reader = start()
    reader.look(notes)
    away = notes.with_name("away")
    notes.rename(away)
    reader.hear_until(lambda: memory.folders[str(notes)].mode == "missing")
    notes.mkdir()
    reader.hear_until(lambda: memory.folders[str(notes)].mode == "away")
    assert len(memory.texts) == 2
    assert "gone" not in dict(memory.log)

    if back == "renamed":
        notes.rmdir()
        away.rename(notes)
        expected = {f"{notes}/a.md": TEXT, f"{notes}/b/c.md": TEXT}
    else:
        (notes / "d.md").write_text("else")
        expected = {f"{notes}/d.md": "else"}
    reader.hear_texts(expected)
    reader.hear_until(lambda: memory.folders[str(notes)].mode == "events")
    memory.log.clear()
    reader.hear_of(notes / "z.md")
    assert [("saved", f"{notes}/z.md")] == memory.log


def test_another_disk_in_place_of_a_folder_is_not_taken_for_it(
    notes: Path, start: Start, memory: Memory, home: Paths
) -> None:
    """Where none of its names is known: while the daemon was down, a mount went missing."""
    tree(notes, {"usb/a.md": TEXT, "usb/b/c.md": TEXT, "d.md": TEXT})
    reader = start()
    reader.look(notes)
    reader.stored()
    reader.end()
    pretend_other_device(home, notes / "usb")
    shutil.rmtree(notes / "usb")
    (notes / "usb").mkdir()
    reader = start()
    reader.look(notes)
    reader.rescan()

    assert {f"{notes}/{name}" for name in ("usb/a.md", "usb/b/c.md", "d.md")} == set(memory.texts)
    assert "gone" not in dict(memory.log)


def pretend_other_device(home: Paths, folder: Path) -> None:
    """As if what is known of a folder was seen on another device."""
    import sqlite3

    with sqlite3.connect(home.data / "files.sqlite") as index:
        index.execute("update folders set device = 7 where path >= ?", (bytes(folder),))
    index.close()


# -- starting again ----------------------------------------------------------------------------


def test_what_changed_meanwhile_is_found_and_nothing_else(
    notes: Path, start: Start, memory: Memory
) -> None:
    """While no reader ran: saved, new, deleted, renamed with its folder."""
    tree(notes, {"a.md": TEXT, "b.md": TEXT, "c.md": TEXT, "d/e.md": TEXT})
    reader = start()
    reader.look(notes)
    reader.stored()
    reader.end()
    memory.log.clear()
    tree(notes, {"a.md": "changed", "new/f.md": TEXT})
    (notes / "b.md").unlink()
    (notes / "d").rename(notes / "moved")
    start().look(notes)

    assert {
        ("saved", f"{notes}/a.md"),
        ("saved", f"{notes}/new/f.md"),
        ("saved", f"{notes}/moved/e.md"),
        ("gone", f"{notes}/b.md"),
        ("gone", f"{notes}/d/e.md"),
    } == set(memory.log)
    assert len(memory.log) == 5


def test_what_is_not_stored_is_told_again(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that died before it had it on disk is told it once more, also what is gone."""
    monkeypatch.setattr("afterword_daemon.watching.reader.RACY_S", 0.0)
    tree(notes, {"a.md": TEXT, "b.md": TEXT, "c.md": TEXT})
    reader = start()
    reader.look(notes)
    reader.stored()
    (notes / "a.md").write_text("changed")
    reader.hear_until(lambda: memory.texts[f"{notes}/a.md"] == "changed")
    (notes / "b.md").unlink()
    reader.hear_until(lambda: f"{notes}/b.md" not in memory.texts)
    reader.end()
    for again in range(2):
        memory.log.clear()
        reader = start()
        reader.look(notes)
        if not again:
            expected = [("gone", f"{notes}/b.md"), ("saved", f"{notes}/a.md")]
            assert expected == memory.log
            reader.stored()
        reader.end()
    assert memory.log == []


def test_a_confirmation_covers_no_more_than_it_says(
    notes: Path, start: Start, memory: Memory
) -> None:
    """What was told while it was on its way is still owed."""
    tree(notes, {"a.md": TEXT})
    reader = start()
    reader.look(notes)
    tree(notes, {"b.md": "two"})
    reader.hear_until(lambda: len(memory.texts) == 2)
    memory.number = 1
    reader.stored()
    reader.end()
    memory.log.clear()
    start().look(notes)

    assert [("saved", f"{notes}/b.md")] == memory.log


def test_another_memory_is_told_everything(notes: Path, start: Start, memory: Memory) -> None:
    """Of what it holds nothing is known, so what it is not told is forgotten."""
    tree(notes, {"a.md": TEXT, "b.md": TEXT, "image.md": b"\0\0"})
    reader = start()
    reader.look(notes)
    reader.stored()
    reader.end()
    memory.id, memory.texts, memory.log = "two", {"/old": "text"}, []
    start().look(notes)

    assert [("saved", f"{notes}/a.md"), ("saved", f"{notes}/b.md")] == memory.log
    assert {f"{notes}/a.md": TEXT, f"{notes}/b.md": TEXT} == memory.texts
    assert memory.n_anew == 2


def test_until_all_is_told_nothing_is_believed(notes: Path, start: Start, memory: Memory) -> None:
    """Who dies before leaves files in a memory that nobody would name: the next begins anew."""
    tree(notes, {"a.md": TEXT, "b.md": TEXT, "c.md": TEXT})
    reader = start()
    reader.look(notes)
    reader.stored()
    reader.end()

    def die(message: FromReader) -> None:
        if isinstance(message, Saved):
            raise Ended

    dying = start(of=Memory("two"), before=die)
    dying.ask(notes)
    dying._thread.join()
    dying.end()
    told = {f"{notes}/{name}.md": TEXT for name in "abc"}
    for stored, texts in [(2, told), (3, told), (3, {"/old": TEXT})]:
        again = Memory("two")
        again.texts = {"/old": TEXT}
        reader = start(of=again)
        reader.look(notes)
        assert texts == again.texts
        again.number = stored
        reader.stored()
        reader.end()


def test_a_look_that_was_broken_off_is_not_the_whole(
    home: Paths, notes: Path, start: Start
) -> None:
    """Something was forgotten meanwhile; what is not told yet is not gone."""
    tree(notes, {f"{number}.md": TEXT for number in range(300)})
    known = Memory("two")
    known.texts = {f"{notes}/{number}.md": TEXT for number in range(300)}

    def forget(message: FromReader) -> None:
        if isinstance(message, Saved) and message.number == 1:
            Forgotten.load(home).add(notes / "7.md")

    Forgotten.load(home).add(notes / "nothing")
    start(of=known, before=forget).look(notes)
    assert {f"{notes}/{number}.md" for number in range(300) if number != 7} == set(known.texts)


def test_no_folders_at_all_are_told_completely(start: Start, memory: Memory) -> None:
    """What is held of folders that were named once is gone."""
    memory.texts = {"/old": "text"}
    start().look()
    assert (memory.n_anew, memory.texts) == (1, {})


@pytest.mark.parametrize("damage", [b"", b"no database at all, but text", None])
def test_a_damaged_index_is_set_aside(
    damage: bytes | None, notes: Path, home: Paths, start: Start, memory: Memory
) -> None:
    """And made anew: all is told again, what vanished meanwhile is forgotten."""
    tree(notes, {f"{number}.md": TEXT for number in range(50)})
    reader = start()
    reader.look(notes)
    reader.stored()
    reader.end()
    index = home.data / "files.sqlite"
    whole = index.read_bytes()
    half = len(whole) // 2
    index.write_bytes(damage if damage is not None else whole[:half] + b"\x55" * half)
    (notes / "0.md").unlink()
    start().look(notes)

    assert {f"{notes}/{number}.md" for number in range(1, 50)} == set(memory.texts)
    assert (damage != b"") == bool(list(home.data.glob("*.broken")))
    assert index.stat().st_mode & 0o777 == 0o600


# -- limits of the system ----------------------------------------------------------------------


def test_it_waits_for_quiet(notes: Path, start: Start, memory: Memory) -> None:
    """A file is read when it has come to rest, not before."""
    reader = start()
    reader.look(notes, quiet_s=0.6)
    begun = time.monotonic()
    (notes / "a.md").write_text("begun")
    reader.hear(0.3)
    (notes / "a.md").write_text(TEXT)
    reader.hear_until(lambda: bool(memory.texts))

    assert [("saved", f"{notes}/a.md")] == memory.log
    assert {f"{notes}/a.md": TEXT} == memory.texts
    assert time.monotonic() - begun > 0.6 > QUIET_S


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked for now and then: what is not told is not known."""
    if LOSES_EVENTS:
        pytest.skip("there are no watches above a folder here")
    monkeypatch.setattr("afterword_daemon.watching.folders.AWAY_S", 3600.0)


@pytest.mark.usefixtures("told_at_once")
@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        (".gitignore", "a.md\n", ["b.md"]),
        (".git/info/exclude", "b.md\n", ["a.md"]),
        (".afterwordignore", "*.md\n", []),
        (".nolearn", "", []),
    ],
)
def test_what_is_ignored_above_is_gone_at_once(
    tmp_path: Path,
    start: Start,
    memory: Memory,
    name: str,
    text: str,
    left: list[str],
    is_link: bool,
) -> None:
    """A file above the watched folder decides on what is read of it, behind a link too."""
    named = notes = tmp_path / "repository/notes"
    (notes.parent / ".git/info").mkdir(parents=True)
    if is_link:
        (tmp_path / "elsewhere").mkdir()
        named = tmp_path / "elsewhere/link"
        named.symlink_to(notes)
    tree(notes, {"a.md": "one\n", "b.md": "one\n"})
    reader = start()
    reader.look(named)
    everything = {str(named / "a.md"): "one\n", str(named / "b.md"): "one\n"}
    reader.hear_texts(everything)
    (notes.parent / name).write_text(text)
    reader.hear_texts({str(named / one): "one\n" for one in left})
    (notes.parent / name).unlink()
    reader.hear_texts(everything)


@pytest.mark.usefixtures("told_at_once")
def test_a_repository_that_begins_above_is_asked_at_once(
    notes: Path, start: Start, memory: Memory
) -> None:
    """Its ignore file was there before, and meant nothing."""
    tree(notes, {"a.md": "one\n", "b.md": "one\n"})
    (notes.parent / ".gitignore").write_text("a.md\n")
    reader = start()
    reader.look(notes)
    reader.hear_texts({str(notes / "a.md"): "one\n", str(notes / "b.md"): "one\n"})
    (notes.parent / ".git").mkdir()
    reader.hear_texts({str(notes / "b.md"): "one\n"})
    (notes / ".git").mkdir()  # the folder is a repository of its own by now
    reader.hear_texts({str(notes / "a.md"): "one\n", str(notes / "b.md"): "one\n"})
    (notes / ".git/info").mkdir()
    (notes / ".git/info/exclude").write_text("b.md\n")
    reader.hear_texts({str(notes / "a.md"): "one\n"})
    shutil.rmtree(notes / ".git")
    reader.hear_texts({str(notes / "b.md"): "one\n"})


@pytest.mark.usefixtures("told_at_once")
def test_a_folder_above_may_be_another_one(tmp_path: Path, start: Start, memory: Memory) -> None:
    """The path is what the user named: moved away and made again, what is there now is read."""
    tree(tmp_path, {"a/b/notes/old.md": "old\n"})
    notes = tmp_path / "a/b/notes"
    reader = start()
    reader.look(notes)
    reader.hear_texts({str(notes / "old.md"): "old\n"})
    (tmp_path / "a").rename(tmp_path / "other")
    tree(tmp_path, {"a/b/notes/new.md": "new\n"})
    reader.hear_texts({str(notes / "new.md"): "new\n"})
    reader.hear_of(notes / "new.md")
    # What goes on in the other one is nobody's business, and costs no watch.
    (tmp_path / "other/b/notes/old.md").write_text("written\n")
    reader.hear_of(notes / "new.md")
    assert all("written" not in text for text in memory.said)


@pytest.mark.usefixtures("told_at_once")
def test_a_link_may_lead_elsewhere(tmp_path: Path, start: Start, memory: Memory) -> None:
    """Be it the folder itself that is one, or a folder above it."""
    tree(tmp_path, {"one/notes/a.md": "one\n", "two/notes/a.md": "two\n"})
    (tmp_path / "at").symlink_to("one")
    notes = tmp_path / "at/notes"
    watched: set[tuple[str, Names]] = set()
    reader = start(start_watcher=lambda hint, lost: Recording(start_watcher(hint, lost), watched))
    reader.look(notes)
    reader.hear_texts({str(notes / "a.md"): "one\n"})
    (tmp_path / "new").symlink_to(tmp_path / "two")
    (tmp_path / "new").rename(tmp_path / "at")
    reader.hear_texts({str(notes / "a.md"): "two\n"})
    (tmp_path / "two/notes/b.md").write_text("more\n")
    reader.hear_texts({str(notes / "a.md"): "two\n", str(notes / "b.md"): "more\n"})
    above = {folder for folder, names in watched if names is not None}
    assert str(tmp_path / "two") in above
    assert str(tmp_path / "one") not in above


@pytest.mark.usefixtures("told_at_once")
def test_a_missing_folder_is_read_as_soon_as_it_is_there(
    tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Folder by folder, as it comes into being."""
    notes = tmp_path / "a/b/notes"
    reader = start()
    reader.look(notes)
    assert memory.folders[str(notes)].mode == "missing"
    (tmp_path / "a").mkdir()
    reader.hear(0.3)
    (tmp_path / "a/b").mkdir()
    reader.hear(0.3)
    tree(notes.parent, {"notes/a.md": "one\n"})
    reader.hear_texts({str(notes / "a.md"): "one\n"})
    assert memory.folders[str(notes)].mode == "events"
    shutil.rmtree(notes)
    reader.hear_until(lambda: memory.folders[str(notes)].mode == "missing")


@pytest.mark.usefixtures("told_at_once")
def test_what_goes_on_above_is_of_no_interest(notes: Path, start: Start, memory: Memory) -> None:
    """Only names on the way are told: files beside the folder wake nobody."""
    tree(notes, {"a.md": "one\n"})
    hinted: list[tuple[str, str]] = []

    def recording(hint: Hint, lost: Lost) -> Watcher:
        def record(folder: str, name: str) -> None:
            hinted.append((folder, name))
            hint(folder, name)

        return start_watcher(record, lost)

    reader = start(start_watcher=recording)
    reader.look(notes)
    for number in range(50):
        (notes.parent / f"{number}.md").write_text("beside\n")
    (notes.parent / "51").mkdir()
    reader.hear_of(notes / "a.md")
    assert {folder for folder, _ in hinted} == {str(notes)}


def test_a_folder_that_is_left_is_watched_from_above_no_more(
    tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Two share what lies above them, until one goes; then nothing is left but the other's."""
    tree(tmp_path, {"in/one/a.md": "one\n", "in/two/b.md": "two\n"})
    watched: set[tuple[str, Names]] = set()

    reader = start(start_watcher=lambda hint, lost: Recording(start_watcher(hint, lost), watched))
    one, two = tmp_path / "in/one", tmp_path / "in/two"
    reader.look(one)
    of_one = set(watched)
    reader.look(one, two)
    assert watched > of_one
    reader.look(one)
    assert watched == of_one
    reader.look()
    assert not watched


@pytest.mark.usefixtures("told_at_once")
def test_what_comes_into_being_while_it_is_watched_is_heard_of(
    tmp_path: Path, start: Start, memory: Memory
) -> None:
    """Between the look at what is there and the watch; and a link that is turned just then."""
    (tmp_path / "one").mkdir()
    (tmp_path / "at").symlink_to("one")
    notes = tmp_path / "at/b/notes"
    watched: set[tuple[str, Names]] = set()

    class Late(Recording):
        def add(self, folder: str, names: Names = None) -> None:
            if folder == str(tmp_path) and not (tmp_path / "two").exists():
                (tmp_path / "two/b").mkdir(parents=True)
                (tmp_path / "new").symlink_to("two")
                (tmp_path / "new").rename(tmp_path / "at")
            super().add(folder, names)

    reader = start(start_watcher=lambda hint, lost: Late(start_watcher(hint, lost), watched))
    reader.look(notes)
    assert memory.folders[str(notes)].mode == "missing"
    above = {folder for folder, _ in watched}
    assert {str(tmp_path / "two"), str(tmp_path / "two/b")} <= above
    assert str(tmp_path / "one") not in above
    tree(notes, {"a.md": "one\n"})
    reader.hear_texts({str(notes / "a.md"): "one\n"})


def test_two_names_of_one_folder_may_part(tmp_path: Path, start: Start, memory: Memory) -> None:
    """One of them is read, and both when one leads elsewhere; it is said which is which."""
    tree(tmp_path, {"one/a.md": "one\n", "two/b.md": "two\n"})
    (tmp_path / "at").symlink_to("one")
    one, at = tmp_path / "one", tmp_path / "at"
    reader = start()
    reader.look(one, at)
    reader.hear_texts({str(one / "a.md"): "one\n"})
    (tmp_path / "new").symlink_to("two")
    assert f"the same folder as {one}" in memory.folders[str(at)].detail
    (tmp_path / "new").rename(at)
    reader.hear_texts({str(one / "a.md"): "one\n", str(at / "b.md"): "two\n"})
    reader.hear_until(lambda: memory.folders[str(at)].files == 1)
    assert not memory.folders[str(at)].detail
    (tmp_path / "new").symlink_to("one")
    (tmp_path / "new").rename(at)
    reader.hear_texts({str(one / "a.md"): "one\n"})
    reader.hear_until(lambda: memory.folders[str(at)].files == 0)


@pytest.mark.usefixtures("told_at_once")
def test_a_linked_ignore_file_is_followed(tmp_path: Path, start: Start, memory: Memory) -> None:
    """Where it lies, in the folder and above it."""
    notes = tmp_path / "top/notes"
    tree(notes, {"a.md": "one\n", "b.md": "one\n"})
    tree(tmp_path, {"dots/here": "", "dots/above": ""})
    (notes / ".afterwordignore").symlink_to("../../dots/here")
    (notes.parent / ".afterwordignore").symlink_to(tmp_path / "dots/above")
    reader = start()
    reader.look(notes)
    reader.hear_texts({str(notes / "a.md"): "one\n", str(notes / "b.md"): "one\n"})
    (tmp_path / "dots/here").write_text("a.md\n")
    reader.hear_texts({str(notes / "b.md"): "one\n"})
    (tmp_path / "dots/above").write_text("b.md\n")
    reader.hear_texts({})


def test_why_nothing_is_learned_of_a_folder_is_told(
    notes: Path, start: Start, memory: Memory
) -> None:
    """Else one looks for a mistake where there is none."""
    tree(notes, {"a.md": "one\n"})
    (notes.parent / ".nolearn").touch()
    reader = start()
    reader.look(notes)
    folder = memory.folders[str(notes)]
    assert (folder.mode, folder.files) == ("events", 0)
    assert "a folder above holds .nolearn" in folder.detail
    (notes.parent / ".nolearn").unlink()
    reader.hear_texts({str(notes / "a.md"): "one\n"})
    reader.hear_until(lambda: not memory.folders[str(notes)].detail)
