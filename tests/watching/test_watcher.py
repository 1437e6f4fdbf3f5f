"""What is used of watchdog, and what the kernel really tells."""

import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest
from afterword_daemon.watching import watcher
from afterword_daemon.watching.hints import Hints
from afterword_trainer import corpus, finding

LOST = ("", "lost")
Hinted = SimpleQueue[tuple[str, str]]

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


@pytest.fixture(params=["_Inotify", "_Observed"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "_Inotify" and sys.platform != "linux":
        pytest.skip("inotify is of Linux")
    return str(request.param)


@pytest.fixture
def hinted() -> Hinted:
    return SimpleQueue()


@pytest.fixture
def watch(kind: str, hinted: Hinted) -> Iterator[watcher.Watcher]:
    """A watcher, and what it says."""

    def hint(folder: str, name: str) -> None:
        hinted.put((folder, name))

    made = (
        watcher._Inotify(hint, lambda: hinted.put(LOST))
        if kind == "_Inotify"
        else watcher._Observed(hint)
    )
    yield made
    made.close()


def hear(hinted: Hinted, folder: Path, name: str) -> set[tuple[str, str]]:
    """All that is said until this is."""
    said: set[tuple[str, str]] = set()
    while (str(folder), name) not in said:
        said.add(hinted.get(timeout=10))
    return said


def test_changes_are_told_by_folder_and_name(
    watch: watcher.Watcher, hinted: Hinted, notes: Path
) -> None:
    """Created, written, renamed, deleted; each by any watcher."""
    watch.add(str(notes))
    (notes / "a.md").write_text("x")
    hear(hinted, notes, "a.md")
    (notes / "a.md").rename(notes / "b.md")
    assert {(str(notes), "a.md")} <= hear(hinted, notes, "b.md")
    (notes / "b.md").unlink()
    hear(hinted, notes, "b.md")
    (notes / "c").mkdir()
    hear(hinted, notes, "c")


def test_a_folder_that_is_named_by_a_link_is_told_by_that_name(
    watch: watcher.Watcher, hinted: Hinted, notes: Path, tmp_path: Path
) -> None:
    """The user meant what it leads to."""
    (tmp_path / "link").symlink_to(notes)
    watch.add(str(tmp_path / "link"))
    (notes / "a.md").write_text("x")
    hear(hinted, tmp_path / "link", "a.md")


def test_reading_is_not_told(watch: watcher.Watcher, hinted: Hinted, notes: Path) -> None:
    """Else the reader would cause its own work."""
    for number in range(100):
        (notes / f"{number}.md").write_text("text\n")
    watch.add(str(notes))
    for found in finding.find([notes], finding.Rules()):
        assert isinstance(found, finding.Found)
        corpus.read(found, finding.Rules())
    (notes / "end.md").write_text("x")
    said = hear(hinted, notes, "end.md")
    assert {name for _, name in said} <= {"end.md", "notes"}


@linux
@pytest.mark.parametrize("kind", ["_Inotify"])
def test_a_folder_that_was_moved_is_told_by_its_new_name(
    watch: watcher.Watcher, hinted: Hinted, notes: Path
) -> None:
    """A watch follows its folder; taking back the old name does not end it."""
    (notes / "a").mkdir()
    watch.add(str(notes / "a"))
    (notes / "a").rename(notes / "b")
    watch.add(str(notes / "b"))
    watch.remove(str(notes / "a"))
    (notes / "b/c.md").write_text("x")
    hear(hinted, notes / "b", "c.md")


@linux
@pytest.mark.parametrize("kind", ["_Inotify"])
def test_a_name_is_that_of_the_folder_it_was_added_for_last(
    watch: watcher.Watcher, hinted: Hinted, notes: Path
) -> None:
    """Of one that was moved away, and was known by no other name, nothing is told any more."""
    (notes / "a").mkdir()
    watch.add(str(notes / "a"))
    (notes / "a").rename(notes / "b")
    (notes / "a").mkdir()
    watch.add(str(notes / "a"))
    (notes / "b/old.md").write_text("x")
    (notes / "a/new.md").write_text("x")
    assert (str(notes / "a"), "old.md") not in hear(hinted, notes / "a", "new.md")


@linux
@pytest.mark.parametrize("kind", ["_Inotify"])
def test_a_folder_may_be_watched_for_some_names(
    watch: watcher.Watcher, hinted: Hinted, notes: Path
) -> None:
    """By several names, each for its own; and for all names as well, in whatever order."""
    (notes / "link").symlink_to(".")
    watch.add(str(notes), frozenset({"a", "b"}))
    watch.add(str(notes / "link"), frozenset({"c", "z"}))
    for name in "abcdz":
        (notes / name).write_text("x")
    told = hear(hinted, notes / "link", "z")
    here, there = str(notes), str(notes / "link")
    assert told == {(here, "a"), (here, "b"), (there, "c"), (there, "z")}
    watch.add(str(notes / "link"))
    (notes / "e").write_text("x")
    hear(hinted, notes / "link", "e")
    watch.remove(str(notes / "link"))
    (notes / "f").write_text("x")
    (notes / "c").unlink()
    assert (there, "f") not in hear(hinted, notes / "link", "c")


@linux
@pytest.mark.parametrize("kind", ["_Inotify"])
def test_a_removed_folder_is_silent(watch: watcher.Watcher, hinted: Hinted, notes: Path) -> None:
    """And so is one that nobody added; one that is gone says so, and troubles nobody."""
    for name in ("a", "b", "c"):
        (notes / name).mkdir()
    watch.add(str(notes / "a"))
    watch.add(str(notes / "b"))
    watch.add(str(notes / "not there"))
    watch.remove(str(notes / "a"))
    watch.remove(str(notes / "a"))
    (notes / "a/x.md").write_text("x")
    (notes / "c/x.md").write_text("x")
    (notes / "b").rmdir()
    assert {(f"{notes}/b", "")} == hear(hinted, notes / "b", "")
    watch.remove(str(notes / "b"))
    with pytest.raises(Empty):
        hinted.get(timeout=0.05)


@linux
@pytest.mark.parametrize("kind", ["_Inotify"])
def test_lost_events_are_told(watch: watcher.Watcher, hinted: Hinted, notes: Path) -> None:
    """The kernel's record of it, as watchdog's parser gives it; what comes behind counts too."""
    assert isinstance(watch, watcher._Inotify)
    watch.add(str(notes))
    record = struct.pack("iIII", -1, 0x4000, 0, 0)
    name = b"a.md".ljust(16, b"\0")
    watch.take(record + struct.pack("iIII", 1, 0x100, 0, len(name)) + name)
    assert [LOST, (str(notes), "a.md")] == [hinted.get(timeout=1), hinted.get(timeout=1)]


@linux
def test_what_is_used_of_watchdog_is_there() -> None:
    """Private names among it; whoever raises the version looks here first."""
    from watchdog.observers import inotify_c

    assert callable(inotify_c.inotify_init)
    assert callable(inotify_c.inotify_add_watch)
    assert callable(inotify_c.inotify_rm_watch)
    event = struct.pack("iIII", 7, 0x2, 5, 16) + b"name".ljust(16, b"\0")
    assert [*inotify_c.Inotify._parse_event_buffer(event)] == [(7, 2, 5, b"name")]
    assert inotify_c.InotifyConstants.IN_Q_OVERFLOW == 0x4000


@linux
@pytest.mark.parametrize("error", ["ENOSPC", "EMFILE", "EACCES"])
def test_a_refusal_is_one_unless_a_single_folder_is_the_reason(
    error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits of watches and of instances; a folder that may not be read is another matter."""
    import ctypes
    import errno

    def refuse(*_: object) -> int:
        ctypes.set_errno(getattr(errno, error))
        return -1

    monkeypatch.setattr(watcher, "inotify_add_watch", refuse)
    watch = watcher._Inotify(lambda *_: None, lambda: None)
    try:
        if error == "EACCES":
            watch.add("/")
        else:
            with pytest.raises(watcher.Refused):
                watch.add("/")
    finally:
        watch.close()


def open_descriptors() -> set[int]:
    """Of this process; the one that lists them is closed by then."""
    listed = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    return {one for one in listed if Path(f"/proc/self/fd/{one}").exists()}


@linux
def test_no_child_inherits_the_watches() -> None:
    """watchdog opens them so that one would."""
    before = open_descriptors()
    watch = watcher._Inotify(lambda *_: None, lambda: None)
    flags = [os.get_inheritable(one) for one in open_descriptors() - before]
    watch.close()
    assert flags
    assert not any(flags)


# -- gathering ---------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hints() -> Hints:
    made = Hints(Clock(), lambda: None)
    made.quiet_s = 2.0
    return made


def at(hints: Hints, now: float, do: Callable[[], object]) -> object:
    clock = hints._clock
    assert isinstance(clock, Clock)
    clock.now = now
    return do()


def due(hints: Hints, now: float) -> dict[str, set[str]]:
    taken = at(hints, now, hints.take)
    return {folder: set(names) for folder, names in taken.folders.items()}  # type: ignore[attr-defined]


def test_names_are_due_when_they_are_quiet(hints: Hints) -> None:
    """Each for itself; then they wait no longer."""
    at(hints, 0.0, lambda: hints.hint("/a", "one"))
    at(hints, 1.0, lambda: hints.hint("/a", "two"))
    assert due(hints, 1.9) == {}
    assert {"/a": {"one"}} == due(hints, 2.0)
    assert (hints.waits("/a", "one"), hints.waits("/a", "two")) == (False, True)
    assert {"/a": {"two"}} == due(hints, 3.0)
    assert at(hints, 3.0, hints.due_in) is None


def test_a_steady_stream_is_due_now_and_then(hints: Hints) -> None:
    """Ten seconds after it began."""
    for tenth in range(99):
        at(hints, tenth / 10, lambda: hints.hint("/a", "log"))
        assert due(hints, tenth / 10) == {}
    at(hints, 9.95, lambda: hints.hint("/a", "log"))
    assert {"/a": {"log"}} == due(hints, 10.0)


def test_lost_events_make_everything_due_once(hints: Hints) -> None:
    """When the burst is over; and so do more names than one would keep."""
    at(hints, 0.0, hints.lost)
    at(hints, 1.0, hints.lost)
    at(hints, 1.5, lambda: hints.hint("/a", "one"))
    assert not at(hints, 3.0, hints.take)
    taken = at(hints, 3.5, hints.take)
    assert taken.everything  # type: ignore[attr-defined]
    assert not at(hints, 9.0, hints.take)
    for number in range(20_001):
        hints.hint("/a", str(number))
    taken = at(hints, 11.0, hints.take)
    assert (taken.everything, taken.folders) == (True, {})  # type: ignore[attr-defined]


def test_the_first_hint_wakes() -> None:
    """The reader sleeps until then, and knows afterwards how long to."""
    woken: list[bool] = []
    hints = Hints(Clock(), lambda: woken.append(True))
    hints.hint("/a", "one")
    hints.hint("/a", "two")
    assert woken == [True]
    assert 2.0 <= (hints.due_in() or 0.0) <= 2.5
