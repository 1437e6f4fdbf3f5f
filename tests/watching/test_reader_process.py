"""The reader as a process: how it ends, what it survives, what the system refuses it."""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from afterword_daemon import protocol
from afterword_daemon.watching.watcher import Hint, Lost, Names, Refused
from afterword_trainer import corpus, finding
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from readers import Memory, Process, ThreadReader, odd, paths_in

Start = Callable[..., ThreadReader]
Spawn = Callable[..., Process]
TEXT = "The sea was calm that morning.\n"
HANG = (
    "import sys, time; from afterword_trainer import corpus",
    "corpus.read = lambda *found: print('hangs', file=sys.stderr) or time.sleep(600)",
)
DIE = (
    "import os; from afterword_trainer import corpus; read = corpus.read",
    "corpus.read = lambda found, rules:"
    " os._exit(9) if found.path.endswith('poison.md') else read(found, rules)",
)
# In a name space of its own a process may lower what the kernel grants it.
FEW_WATCHES = (
    "import ctypes, os; uid = os.getuid(); ctypes.CDLL(None).unshare(0x10000000)",
    "open('/proc/self/uid_map', 'w').write(f'{uid} {uid} 1')",
    "open('/proc/sys/user/max_inotify_watches', 'w').write('3')",
)


def fill(folder: Path, n: int, text: str = TEXT) -> dict[str, str]:
    """So many files in folders of twenty; their texts by path."""
    texts = {}
    for number in range(n):
        path = folder / f"{number // 20}" / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number} {text}")
        texts[str(path)] = f"{number} {text}"
    return texts


def long_ago(folder: Path) -> None:
    """Nothing in it was changed just now."""
    for path in folder.rglob("*.md"):
        os.utime(path, (1_600_000_000, 1_600_000_000))


# -- the end -----------------------------------------------------------------------------------


def seconds_to_end(reader: Process) -> float:
    begun = time.monotonic()
    assert reader.end() == ""
    return time.monotonic() - begun


def test_it_ends_with_its_stdin(spawn: Spawn, notes: Path) -> None:
    """Nicely, and with nothing to say; Ctrl-C in the daemon's terminal is not its business."""
    reader = spawn()
    reader.look(notes)
    process = psutil.Process(reader.process.pid)
    assert process.nice() - psutil.Process().nice() == 5
    reader.process.send_signal(signal.SIGINT)
    reader.hear_of(notes / "a.md")
    assert seconds_to_end(reader) < 5.0
    assert reader.process.returncode == 0


def test_it_ends_while_nobody_listens(spawn: Spawn, notes: Path, memory: Memory) -> None:
    """Everything is full: its queue, and the pipe."""
    for number in range(30):
        (notes / f"{number}.txt").write_text("A line of a long text.\n" * 10_000)
    long_ago(notes)
    reader = spawn()
    reader.ask(notes, most=10_000_000)
    process = psutil.Process(reader.process.pid)
    waiting = -1
    while waiting != (waiting := process.num_ctx_switches().voluntary):
        time.sleep(0.2)
    assert seconds_to_end(reader) < 5.0


def test_it_ends_while_a_file_hangs(spawn: Spawn, notes: Path, memory: Memory) -> None:
    """Somewhere on a network that does not answer."""
    (notes / "a.md").write_text(TEXT)
    long_ago(notes)
    reader = spawn(*odd(*HANG))
    reader.ask(notes)
    assert reader.process.stderr
    assert reader.process.stderr.readline() == b"hangs\n"
    assert seconds_to_end(reader) < 5.0


def test_it_ends_when_nobody_will_listen_again(spawn: Spawn, notes: Path) -> None:
    """The daemon died, and its stdin is held open by a sibling."""
    reader = spawn()
    reader.look(notes)
    assert reader.process.stdout
    reader.process.stdout.close()
    (notes / "a.md").write_text(TEXT)
    assert reader.process.wait(30) == 0


# -- what goes wrong ---------------------------------------------------------------------------


def test_a_deadly_file_is_found_out_and_left_alone(
    spawn: Spawn, notes: Path, memory: Memory
) -> None:
    """Once with all that were read with it, once by itself; the others are told."""
    texts = fill(notes, 8)
    (notes / "0/poison.md").write_text(TEXT)
    long_ago(notes)
    os.utime(notes / "0/poison.md", (1_500_000_000, 1_500_000_000))  # the first to be read
    deaths = 0
    while memory.texts != texts:
        reader = spawn(*odd(*DIE))
        reader.ask(notes)
        while not reader.trouble() and memory.texts != texts:
            reader.hear(0.1)
        deaths += reader.process.poll() == 9
    assert deaths == 2
    reader.end()

    reader = spawn()
    reader.look(notes)
    assert texts == memory.texts
    (notes / "0/poison.md").write_text(f"{TEXT}Changed.\n")
    reader.hear_texts({**texts, str(notes / "0/poison.md"): f"{TEXT}Changed.\n"})


def test_one_that_ended_early_takes_no_file_for_deadly(
    spawn: Spawn, notes: Path, memory: Memory
) -> None:
    """Pausing again and again is no reason to skip what was about to be read."""
    (notes / "a.md").write_text(TEXT)
    long_ago(notes)
    slow = ("import time", *DIE[:1], "corpus.read = lambda *found: time.sleep(0.3) or read(*found)")
    for _ in range(3):
        reader = spawn(*odd(*slow))
        reader.ask(notes)
        reader.hear_until(lambda: bool(memory.folders))
        reader.end()
        memory.folders.clear()
    reader = spawn()
    reader.look(notes)
    assert {f"{notes}/a.md": TEXT} == memory.texts


def test_a_log_tells_no_names(home: Paths, spawn: Spawn, notes: Path, memory: Memory) -> None:
    """Of what could not be written, only that."""
    home.data.parent.mkdir(parents=True)
    home.data.write_text("a file where the folder belongs")
    reader = spawn()
    reader.ask(notes)
    assert reader.process.wait(30) == 1
    errors = reader.errors()
    assert "StateError" in errors
    assert str(notes) not in errors
    assert str(home.data) not in errors


def test_a_reader_waits_for_the_one_before(
    home: Paths, notes: Path, spawn: Spawn, memory: Memory
) -> None:
    """Which has a second to end, as its daemon is gone."""
    (notes / "a.md").write_text(TEXT)
    long_ago(notes)
    before = spawn()
    before.look(notes)
    before.stored()
    after = Process(home, other := Memory())
    after.ask(notes)
    after.hear(0.5)
    assert other.texts == {}
    before.end()
    after.hear_until(lambda: bool(other.settled))
    after.end()
    assert other.log == []


# -- limits ------------------------------------------------------------------------------------


class Few:
    """A watcher of a system that refuses the k-th watch, and all after it."""

    def __init__(self, k: int) -> None:
        self.left = k - 1
        self.watched: set[tuple[str, Names]] = set()

    @property
    def folders(self) -> set[str]:
        """Those that are watched for whatever happens in them."""
        return {folder for folder, names in self.watched if names is None}

    def start(self, hint: Hint, lost: Lost) -> "Few":
        if self.left < 0:
            raise Refused
        return self

    def add(self, folder: str, names: Names = None) -> None:
        if (folder, names) not in self.watched:
            if not self.left:
                raise Refused
            self.left -= 1
        self.watched.add((folder, names))

    def remove(self, folder: str, names: Names = None) -> None:
        self.watched.discard((folder, names))

    def close(self) -> None:
        self.watched.clear()


@pytest.mark.parametrize(
    ("passes_above", "k"), [(False, 0), (False, 1), (False, 2), *((True, k) for k in range(7))]
)
def test_where_the_system_refuses_it_scans(
    passes_above: bool, k: int, notes: Path, start: Start, memory: Memory
) -> None:
    """Whichever folder was the first to be refused, or the watcher itself; and says so, once.

    Those above come first, and the folder itself for what begins in it.
    """
    texts = fill(notes, 80)  # in four folders, beside the one above
    long_ago(notes)
    few = Few(k + passes_above * (1 + len(notes.parents)))
    reader = start(start_watcher=few.start)
    reader.look(notes)

    assert texts == memory.texts
    folder = memory.folders[str(notes)]
    if k > 5:
        assert (folder.mode, folder.detail, folder.every_s) == ("events", "", None)
        return
    assert (folder.mode, folder.every_s) == ("scanning", 720.0)
    assert "sysctl" in folder.detail
    assert not few.watched  # others have a use for them
    (notes / "3/60.md").write_text("later")
    reader.rescan()
    reader.hear_texts({**texts, f"{notes}/3/60.md": "later"})
    assert memory.n_folders == 1


def test_where_the_kernel_refuses_it_scans(spawn: Spawn, notes: Path, memory: Memory) -> None:
    """The real one, at the fourth folder; what changes is found all the same."""
    if subprocess.run(
        [sys.executable, "-c", "\n".join(FEW_WATCHES)], capture_output=True
    ).returncode:
        pytest.skip("the kernel gives no name space of its own")
    texts = fill(notes, 80)
    long_ago(notes)
    reader = spawn(*odd(*FEW_WATCHES))
    reader.look(notes)
    assert texts == memory.texts
    assert memory.folders[str(notes)].mode == "scanning"
    assert "sudo sysctl fs.inotify.max_user_watches" in memory.folders[str(notes)].detail
    (notes / "3/60.md").write_text("later")
    reader.rescan()
    reader.hear_texts({**texts, f"{notes}/3/60.md": "later"})


def test_all_folders_share_one_watcher(
    notes: Path, tmp_path: Path, start: Start, memory: Memory
) -> None:
    """The system grants few of them."""
    few, started = Few(1000), []
    reader = start(start_watcher=lambda *told: started.append(1) or few.start(*told))
    for name in ("letters", "diary"):
        fill(tmp_path / name, 40)
    reader.look(notes, tmp_path / "letters")
    reader.look(notes, tmp_path / "letters", tmp_path / "diary")
    assert started == [1]
    assert len(few.folders) == 1 + 3 + 3


def test_half_of_what_a_user_may_watch_is_left(notes: Path, start: Start, memory: Memory) -> None:
    """For editors; so too many folders are scanned."""
    fill(notes, 80)
    long_ago(notes)
    reader = start(watch_limit=5)
    reader.look(notes)
    reader.end()
    assert memory.folders[str(notes)].mode == "events"
    start(watch_limit=4).look(notes)
    assert memory.folders[str(notes)].mode == "scanning"


def test_a_shared_file_system_is_scanned(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine writes there is found at the next scan, with its jitter."""
    monkeypatch.setattr("afterword_daemon.watching.places.shared", lambda _: "nfs4")
    monkeypatch.setattr("afterword_daemon.watching.folders.SCAN_S", 0.2)
    fill(notes, 20)
    reader = start(start_watcher=Few(0).start)
    reader.look(notes)
    folder = memory.folders[str(notes)]
    assert folder.mode == "scanning"
    assert "nfs4" in folder.detail
    assert "sysctl" not in folder.detail
    reader.hear_of(notes / "a.md")


@pytest.mark.parametrize("ill", ["", "2"])
def test_what_cannot_be_listed_is_not_gone(
    ill: str, notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails below the folder, or at it: nothing is forgotten, also not later."""
    texts = fill(notes, 80)
    long_ago(notes)
    reader = start()
    reader.look(notes)

    @contextmanager
    def listed(folder: finding.Folder, rules: finding.Rules) -> Iterator[finding.Listing]:
        if folder.path == str(notes / ill):
            raise OSError(errno.EIO, "Input/output error")
        with whole(folder, rules) as listing:
            yield listing

    whole = finding.listed
    monkeypatch.setattr(finding, "listed", listed)
    reader.rescan()
    assert texts == memory.texts
    assert ("events" if ill else "away") == memory.folders[str(notes)].mode
    monkeypatch.undo()
    (notes / "2/40.md").unlink()
    reader.rescan()
    del texts[f"{notes}/2/40.md"]
    reader.hear_texts(texts)


def test_what_has_no_status_is_not_gone(
    notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that lists its names, and fails at a file and at a folder."""
    texts = fill(notes, 60)
    long_ago(notes)
    reader = start()
    reader.look(notes)
    stat = os.stat

    def ill(path: str, **options: object) -> os.stat_result:
        if path in ("2", "0.md") and "dir_fd" in options:
            raise OSError(errno.EIO, "Input/output error")
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", ill)
    reader.rescan()
    monkeypatch.undo()
    assert texts == memory.texts
    assert "gone" not in dict(memory.log)


class Told(Few):
    """A watcher that has only the hints that it is told to give."""

    def __init__(self) -> None:
        super().__init__(1000)

    def start(self, hint: Hint, lost: Lost) -> Few:
        self.hint = hint
        return self


def test_a_name_counts_as_it_is_listed(notes: Path, start: Start, memory: Memory) -> None:
    """Where capitals are the same as other letters, an event may have others than the folder."""
    told = Told()
    reader = start(start_watcher=told.start)
    reader.look(notes)
    (notes / "Letter.md").write_text(TEXT)
    told.hint(str(notes), "LETTER.MD")
    reader.hear_texts({f"{notes}/Letter.md": TEXT})


@pytest.mark.parametrize("large", [1000, 0])
def test_other_capitals_are_another_name(
    large: int, notes: Path, start: Start, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the old one finds the file too, and is not listed; hints have whatever was typed."""
    monkeypatch.setattr("afterword_daemon.watching.folders.LARGE", large)
    listdir = os.listdir
    old, new = notes / "Letter.md", notes / "LETTER.md"
    old.write_text(TEXT)
    long_ago(notes)
    told = Told()
    reader = start(start_watcher=told.start)
    reader.look(notes)
    monkeypatch.setattr(os, "listdir", lambda at: [one for one in listdir(at) if one != old.name])
    new.hardlink_to(old)
    for path in (old, new):
        told.hint(str(notes), path.name)
    reader.hear_texts({str(new): TEXT})
    new.write_text("later")
    told.hint(str(notes), "letter.MD")
    reader.hear_texts({str(new): "later"})
    saved = ("saved", str(new))
    assert [("saved", str(old)), ("gone", str(old)), saved, saved] == memory.log


def test_a_name_that_is_gone_for_a_moment_is_not_forgotten(
    notes: Path, start: Start, memory: Memory
) -> None:
    """An editor has renamed it, and something else had the folder looked at meanwhile."""
    (notes / "a.md").write_text(TEXT)
    (notes / "b").mkdir()
    (notes / "b/c.md").write_text(TEXT)
    long_ago(notes)
    told = Told()
    reader = start(start_watcher=told.start)
    reader.look(notes, quiet_s=600)
    before = [*memory.log]
    for name in ("a.md", "b"):
        (notes / name).rename(notes / f".{name}")
        told.hint(str(notes), name)
    (notes / "d.md").write_text(TEXT)
    long_ago(notes)
    reader.rescan()
    assert [*before, ("saved", f"{notes}/d.md")] == memory.log


def test_a_mount_that_goes_and_comes_back(
    notes: Path, start: Start, memory: Memory, mounted: Callable[..., None]
) -> None:
    """What is on it is kept while it is away, and nothing is told twice."""
    mounted(notes / "usb")
    texts = {**fill(notes / "usb", 5), **fill(notes / "disk", 5)}
    long_ago(notes)
    reader = start()
    reader.look(notes)
    assert texts == memory.texts
    before = [*memory.log]
    away = notes.with_name("away")
    away.mkdir()
    subprocess.run(["mount", "--move", notes / "usb", away], check=True)
    reader.rescan()
    subprocess.run(["mount", "--move", away, notes / "usb"], check=True)
    reader.rescan()
    assert before == memory.log
    (notes / "usb/0/0.md").write_text("later")
    reader.hear_texts({**texts, f"{notes}/usb/0/0.md": "later"})


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_mount_that_goes_while_it_is_looked_at(
    moment: str,
    notes: Path,
    start: Start,
    memory: Memory,
    mounted: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the k-th folder is listed or while it is, for each: nothing is forgotten."""
    mounted(notes / "usb")
    texts = {**fill(notes / "usb", 60), **fill(notes / "disk", 20)}
    long_ago(notes)
    reader = start()
    reader.look(notes)
    before, whole, left = [*memory.log], finding.listed, 0
    away = notes.with_name("away")
    away.mkdir()

    def take_away() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            subprocess.run(["mount", "--move", notes / "usb", away], check=True)

    @contextmanager
    def listed(folder: finding.Folder, rules: finding.Rules) -> Iterator[finding.Listing]:
        if moment == "before":
            take_away()
        with whole(folder, rules) as listing:
            if moment == "while":
                take_away()
            yield listing

    monkeypatch.setattr(finding, "listed", listed)
    for k in range(1, 8):
        left = k
        reader.rescan()
        subprocess.run(["mount", "--move", away, notes / "usb"], check=True)
        reader.rescan()
        assert before == memory.log
    (notes / "usb/0/0.md").write_text("later")
    reader.hear_texts({**texts, f"{notes}/usb/0/0.md": "later"})


def test_a_folder_that_is_mounted_twice_is_one(
    notes: Path, tmp_path: Path, start: Start, memory: Memory, mounted: Callable[..., None]
) -> None:
    """As it is by a link."""
    texts = fill(notes, 5)
    long_ago(notes)
    mounted(tmp_path / "again", "--bind", str(notes))
    start().look(notes, tmp_path / "again")
    assert texts == memory.texts


@pytest.fixture
def mounted() -> Iterator[Callable[..., None]]:
    """Mount a disk in memory somewhere, or something else, where that is allowed."""
    places: list[Path] = []

    def mount(place: Path, *what: str) -> None:
        place.mkdir()
        command = ["mount", *(what or ("-t", "tmpfs", "none")), str(place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount")
        places.append(place)

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_whatever_is_opened_lies_in_the_folder(
    spawn: Spawn, home: Paths, notes: Path, tmp_path: Path, memory: Memory
) -> None:
    """Every call that opens something, as the kernel sees it: never what a link leads to."""
    outside, trace = tmp_path / "outside", tmp_path / "trace"
    fill(outside, 20)
    texts = fill(notes, 20)
    long_ago(tmp_path)
    opens = "trace=open,openat,openat2,creat,execve,open_by_handle_at"
    reader = spawn(under=("strace", "-D", "-f", "-y", "-qq", "-e", opens, "-o", str(trace)))
    reader.look(notes)
    (notes / "link.md").symlink_to(outside / "0/0.md")
    (notes / "folder").symlink_to(outside / "0")
    (notes / "0/0.md").rename(notes / "0/moved.md")
    (notes / "0/0.md").symlink_to(outside / "0/0.md")
    (notes / "up").symlink_to(tmp_path)
    reader.hear_of(notes / "z.md")
    reader.rescan()
    (notes / "0").rename(tmp_path / "aside")
    (notes / "0").symlink_to(outside / "0")
    texts = {f"{notes}/z.md": memory.texts[f"{notes}/z.md"]}
    reader.hear_texts(texts)
    reader.end()

    opened = re.findall(r" = \d+<(.*?)>", trace.read_text(errors="replace"))
    within = opened[opened.index(str(notes)) :]
    assert f"{notes}/z.md" in within
    modules = [str(Path(module.__file__).parent) for module in (corpus, protocol)]
    programs = (
        sys.prefix,
        sys.base_prefix,
        "/usr/",
        "/lib",
        "/etc/ld.so.cache",
        "/proc/",
        *modules,
    )
    ours = (f"{notes}/", f"{home.data}/", *programs)
    assert {path for path in within if not path.startswith(ours)} <= {str(notes), str(home.data)}


def test_it_reads_nothing_while_it_cannot_tell_what_was_forgotten(
    home: Paths, notes: Path, start: Start, memory: Memory
) -> None:
    """The list is damaged: the remedy is told, and what is known is kept."""
    fill(notes, 5)
    Forgotten.load(home).add(notes / "0/0.md")
    whole = (home.data / "forgotten.json").read_bytes()
    (home.data / "forgotten.json").write_bytes(whole[:-9])
    reader = start()
    reader.ask(notes)
    reader.hear_until(lambda: str(notes) in memory.folders)
    folder = memory.folders[str(notes)]
    assert (folder.mode, memory.texts) == ("away", {})
    assert "bring it back" in folder.detail
    (home.data / "forgotten.json").write_bytes(whole)
    reader.rescan()
    reader.hear_until(lambda: len(memory.texts) == 4)


def test_its_own_work_causes_none(spawn: Spawn, notes: Path, memory: Memory) -> None:
    """Home and notes in one watched folder: after a scan of everything it is silent, and sleeps."""
    reader = Process(paths_in(notes / "home"), memory)
    fill(notes / "letters", 200)
    long_ago(notes)
    reader.look(notes)
    assert len(memory.texts) == 200
    reader.stored()
    while reader.hear(0.5):
        pass
    process = psutil.Process(reader.process.pid)
    before = process.num_ctx_switches().voluntary, process.io_counters().write_bytes
    assert not reader.hear(1.0)
    after = process.num_ctx_switches().voluntary, process.io_counters().write_bytes
    reader.end()
    assert before == after


# -- a lot -------------------------------------------------------------------------------------


def stopped_while(reader: Process, do: Callable[[], object]) -> None:
    reader.process.send_signal(signal.SIGSTOP)
    do()
    reader.process.send_signal(signal.SIGCONT)


def overflow(reader: Process, notes: Path, n: int) -> dict[str, str]:
    """More files than the kernel keeps events of."""
    texts: dict[str, str] = {}
    stopped_while(reader, lambda: texts.update(fill(notes, n)))
    return texts


def test_lost_events_are_made_up_for(spawn: Spawn, notes: Path, memory: Memory) -> None:
    """The queue of the kernel is full; what came after it was is found all the same."""
    for folder in range(301):
        (notes / str(folder)).mkdir()
    reader = spawn()
    reader.look(notes, most=2000)
    overflow(reader, notes, 6000)  # three events each
    reader.hear_until(lambda: memory.folders[str(notes)].files == 6000)
    reader.hear_until(lambda: f"{notes}/299/5999.md" in memory.texts)
    assert "events were lost" in reader.end()


@pytest.mark.slow
def test_twenty_thousand_files_are_all_told(spawn: Spawn, notes: Path, memory: Memory) -> None:
    """And take no more memory than a few."""
    for folder in range(1001):
        (notes / str(folder)).mkdir()
    reader = spawn()
    reader.look(notes, most=100_000_000)
    reader.hear_of(notes / "0/first.md")
    before = reader.resident()
    texts = overflow(reader, notes, 20_000)
    most = before
    while len(memory.texts) < 20_001:
        assert reader.hear(60.0)
        most = max(most, reader.resident())
    memory.texts.pop(f"{notes}/0/first.md")
    assert texts == memory.texts
    assert most - before < 60 << 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_moment_nothing_is_lost(
    seed: int, home: Paths, notes: Path, memory: Memory
) -> None:
    """Reader and daemon die whenever; the daemon has lost what it had not stored."""
    chance = random.Random(seed)
    fill(notes, 100)
    disk: dict[str, str] = {}  # the memory's file
    texts: dict[str, str] = {}

    def change() -> None:
        for _ in range(chance.randrange(30)):
            number = chance.randrange(120)
            path = notes / f"{number // 20}/{number}.md"
            path.parent.mkdir(exist_ok=True)
            if chance.random() < 0.3:
                path.unlink(missing_ok=True)
            else:
                path.write_text(f"{chance.randrange(10**6)} {TEXT}")
        if chance.random() < 0.1:
            shutil.rmtree(notes / "2", ignore_errors=True)

    for _ in range(12):
        memory.texts = dict(disk)
        reader = Process(home, memory)
        reader.ask(notes)
        end = time.monotonic() + chance.uniform(0.2, 1.5)
        while (left := end - time.monotonic()) > 0:
            if chance.random() < 0.3:
                change()
            reader.hear(min(left, 0.05))
            if chance.random() < 0.2:
                disk = dict(memory.texts)
                if chance.random() < 0.7:
                    reader.stored()
        reader.kill()
        change()
    memory.texts = dict(disk)
    reader = Process(home, memory)
    reader.look(notes)
    texts = {str(path): path.read_text() for path in notes.rglob("*.md")}
    reader.hear_texts(texts)
    reader.stored()
    reader.end()
    memory.log.clear()
    reader = Process(home, memory)
    reader.look(notes)
    reader.end()
    assert memory.log == []
