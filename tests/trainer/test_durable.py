import ast
import errno
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import afterword_trainer
import crash_disks
import numpy as np
import pytest
from afterword_trainer import durable
from afterword_trainer.durable import DamagedError, Failpoint, LockedError, StateError
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())


def modes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mode & 0o7777 for p in folder.rglob("*")}


# -- what it does when all goes well -----------------------------------------------------------


def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """State quotes what the user wrote: folders are 0700 and files 0600, or 0400 once published."""
    before = os.umask(0)
    try:
        durable.replace(tmp_path / "a" / "b" / "file", b"x")
        os.umask(0o777)
        durable.append(tmp_path / "c" / "log", b"x")
        durable.publish_folder(tmp_path / "d", "one", {"part": b"x"})
    finally:
        os.umask(before)

    assert modes(tmp_path) == {
        "a": 0o700,
        "a/b": 0o700,
        "a/b/file": 0o600,
        "c": 0o700,
        "c/log": 0o600,
        "d": 0o700,
        "d/one": 0o700,
        "d/one/part": 0o400,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"bytes",
        bytearray(b"more"),
        np.arange(6, dtype=np.float16).reshape(2, 3).data,
        np.zeros((0, 3), np.float32).data,
        [b"in ", memoryview(b"pieces"), np.arange(3, dtype="<u2").data],
    ],
)
def test_bytes_arrays_and_streams_of_them_are_written(data: Any, tmp_path: Path) -> None:
    """Arrays go to disk without a copy; what was written is told, and verified when read."""
    pieces = data if isinstance(data, list) else [data]
    expected = b"".join(bytes(piece) for piece in pieces)
    written = durable.replace(tmp_path / "file", data)
    content = durable.read_verified(tmp_path / "file", sha256=written.sha256, size=written.size)

    assert content == expected
    assert written == (len(expected), hashlib.sha256(expected).hexdigest())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, FileNotFoundError])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    """A corpus that cannot be read to its end, or Ctrl-C, costs nothing, and is told as it was."""

    def half_and_then_trouble() -> Iterator[bytes]:
        yield b"half of the new"
        raise error

    durable.replace(tmp_path / "symbols", b"old")

    with pytest.raises(error):
        durable.replace(tmp_path / "symbols", half_and_then_trouble())
    assert crash_disks.tree_of(tmp_path) == {"symbols": b"old"}


def test_a_published_folder_is_never_written_over(tmp_path: Path) -> None:
    """A name stands for one content, for ever."""
    durable.publish_folder(tmp_path, "one", {"a": b"1", "b": [b"2", b"3"]})

    with pytest.raises(StateError, match="there is one already"):
        durable.publish_folder(tmp_path, "one", {"a": b"other"})
    assert crash_disks.tree_of(tmp_path) == {"one": {"a": b"1", "b": b"23"}}


def test_a_new_file_is_never_written_over(tmp_path: Path) -> None:
    """`write_new` is for names that nothing has used yet."""
    durable.write_new(tmp_path / "part", b"old")

    with pytest.raises(StateError, match="a file is in the way"):
        durable.write_new(tmp_path / "part", b"new")
    assert crash_disks.tree_of(tmp_path) == {"part": b"old"}


def test_retired_things_are_gone_and_retiring_again_is_fine(tmp_path: Path) -> None:
    """Files, folders, read-only contents, and what is not there."""
    durable.publish_folder(tmp_path, "folder", {"a": b"1"})
    durable.replace(tmp_path / "file", b"2")
    for name in ("folder", "file", "folder"):
        durable.retire(tmp_path / name)

    assert crash_disks.tree_of(tmp_path) == {}


def test_sweeping_removes_what_was_interrupted_and_follows_no_link(tmp_path: Path) -> None:
    """Nothing but our own leftovers goes, and nothing outside the folder."""
    state, outside = tmp_path / "state", tmp_path / "outside"
    crash_disks.write_tree({"keep": b"1"}, outside)
    crash_disks.write_tree(
        {"a.00ff.tmp": {"x": b"1"}, "b.00ff.tomb": b"2", "c": b"3", "tmp": b"4"}, state
    )
    (state / "d.00ff.tmp").symlink_to(outside)
    durable.sweep(state)

    assert crash_disks.tree_of(state) == {"c": b"3", "tmp": b"4"}
    assert crash_disks.tree_of(outside) == {"keep": b"1"}


def test_a_folder_to_work_in_is_gone_afterwards(tmp_path: Path) -> None:
    """Whatever happens in it; and if the process dies, the next sweep finds it."""
    with suppress(KeyboardInterrupt), durable.temporary_folder(tmp_path / "cache") as folder:
        assert folder.suffix == ".tmp"
        durable.replace(folder / "deep" / "file", b"x")
        raise KeyboardInterrupt

    assert crash_disks.tree_of(tmp_path) == {"cache": {}}


def test_what_is_set_aside_is_still_there(tmp_path: Path) -> None:
    """What cannot be understood is not deleted."""
    durable.replace(tmp_path / "odd", b"?")
    aside = durable.set_aside(tmp_path / "odd")

    assert aside.read_bytes() == b"?"
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("content", [b"longer than that", b"1234567", b"abcdefgX", b""])
def test_other_bytes_than_were_written_are_never_returned(content: bytes, tmp_path: Path) -> None:
    """Longer, shorter, changed."""
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(DamagedError, match="file"):
        durable.read_verified(
            tmp_path / "file", sha256=hashlib.sha256(b"abcdefgh").hexdigest(), size=8
        )


def test_reading_blocks_on_no_pipe(tmp_path: Path) -> None:
    """A pipe in the place of a file is an error, not a wait."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DamagedError, match="not a regular file"):
        durable.read(tmp_path / "pipe", at_most=100)


# -- records -----------------------------------------------------------------------------------


@settings(max_examples=50)
@given(records=st.lists(st.binary(max_size=40).filter(lambda r: b"\n" not in r), max_size=5))
def test_records_come_back_in_order(
    records: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any bytes but a newline."""
    path = tmp_path_factory.mktemp("records") / "log"
    for record in records:
        durable.append(path, record)

    assert durable.read_records(path) == (records, 0)


@pytest.mark.parametrize("keep", range(1, 12))
def test_a_record_cut_short_costs_no_other(keep: int, tmp_path: Path) -> None:
    """It is told while it is there, and makes room for the next."""
    path = tmp_path / "log"
    durable.append(path, b"one")
    whole = path.read_bytes()
    durable.append(path, b"two")
    os.truncate(path, len(whole) + keep)
    assert durable.read_records(path) == ([b"one"], 1)

    durable.append(path, b"three")
    assert durable.read_records(path) == ([b"one", b"three"], 0)


@pytest.mark.parametrize("n_bytes", [0, 1, 100_000])
def test_a_record_without_its_line_end_stands(n_bytes: int, tmp_path: Path) -> None:
    """A crash may take just that byte; the next record starts on a line of its own."""
    path = tmp_path / "log"
    records = [b"one", b"2" * n_bytes]
    for record in records:
        durable.append(path, record)
    os.truncate(path, path.stat().st_size - 1)
    durable.append(path, b"three")

    assert durable.read_records(path) == ([*records, b"three"], 0)


@pytest.mark.parametrize("torn", [b"", b"0000"])
def test_a_full_disk_keeps_no_half_of_a_record(torn: bytes, tmp_path: Path) -> None:
    """A real limit of the kernel's: what it took is gone again, and all that was there stands."""
    path = tmp_path / "log"
    durable.append(path, b"one")
    before = path.read_bytes()
    path.write_bytes(before + torn)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from afterword_trainer import durable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: durable.append(Path(sys.argv[1]), b'x' * 2000)\n"
        "except durable.StateError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, text=True
    )

    assert told.stdout.startswith(f"{path}: file too large")
    assert path.read_bytes() == before


@pytest.mark.parametrize("nth", [2, 3])  # write, sync
def test_a_record_that_is_not_safe_is_not_there(
    nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever added it was told that it failed."""
    path = tmp_path / "log"
    durable.append(path, b"one")
    before = path.read_bytes()
    disk = crash_disks.FailingDisk(nth, errno.ENOSPC, for_ever=False)
    monkeypatch.setattr(durable, "disk", disk)

    with pytest.raises(StateError, match=r"/log: the disk is full"):
        durable.append(path, b"two")
    assert path.read_bytes() == before


def test_a_flipped_bit_in_a_record_is_counted(tmp_path: Path) -> None:
    """Each bit of a line is covered by its checksum, and no other line suffers."""
    path = tmp_path / "log"
    for record in (b"one", b"two", b"three"):
        durable.append(path, record)
    sound = path.read_bytes()
    start = sound.index(b"\n") + 1
    for bit in range(8 * len(b"01234567 two")):
        data = bytearray(sound)
        data[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        records, n_damaged = durable.read_records(path)

        assert (records, n_damaged >= 1) == ([b"one", b"three"], True)


# -- locks and room ----------------------------------------------------------------------------


def test_a_second_holder_is_told_who_is_first(tmp_path: Path) -> None:
    """Two `trainer learn` do not collide; the sentence names the process."""
    lock = tmp_path / "run" / "lock"
    told = pytest.raises(LockedError, match=f"process {os.getpid()} is at work here; wait until")
    with durable.locked(lock), told, durable.locked(lock):
        pass
    with durable.locked(lock):
        pass


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """After SIGKILL nobody needs to clean up."""
    script = (
        "import os, signal, sys; from pathlib import Path; from afterword_trainer import durable\n"
        "with durable.locked(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "lock"], check=False)

    assert killed.returncode == -9
    with durable.locked(tmp_path / "lock"):
        pass


def test_a_lack_of_space_is_told_before_the_work(tmp_path: Path) -> None:
    """An hour of training must not end with a full disk."""
    durable.require_space(tmp_path / "not" / "yet", 1)

    with pytest.raises(StateError, match=r"MB are free where .* MB are needed; free some space"):
        durable.require_space(tmp_path / "not" / "yet", 1 << 60)


# -- when the disk refuses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk is full; free some space and try again"),
        (errno.EDQUOT, "your quota on this disk is used up; free some space and try again"),
        (errno.EROFS, "the file system is read-only; set AFTERWORD_HOME to a folder that can be"),
        (errno.EACCES, "permission denied; change its owner or mode, or set AFTERWORD_HOME"),
        (errno.EIO, "the disk reports a fault; check the disk, then try again"),
        (errno.EXDEV, "invalid cross-device link; check the path and the disk"),
    ],
)
def test_errors_are_one_sentence_with_a_remedy(
    code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path, cause, remedy."""
    monkeypatch.setattr(durable, "disk", crash_disks.FailingDisk(1, code, for_ever=True))

    with pytest.raises(StateError) as error:
        durable.replace(tmp_path / "file", b"x")
    assert str(error.value).startswith(f"{tmp_path / 'file'}: {sentence}")
    assert "\n" not in str(error.value)
    assert durable.without_path(error.value).startswith(sentence)


@pytest.mark.parametrize("nth", range(1, 12))
def test_errors_name_what_was_to_be_written(
    nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows the names that files and folders have until they are whole."""
    for write in (
        lambda: durable.replace(tmp_path / "file", b"x"),
        lambda: durable.publish_folder(tmp_path, f"model {nth}", {"part": b"x"}),
    ):
        disk = crash_disks.FailingDisk(nth, errno.ENOSPC, for_ever=True)
        monkeypatch.setattr(durable, "disk", disk)
        told = ""
        try:
            write()
        except StateError as error:
            told = str(error)
        assert not re.search(r"[.](tmp|tomb)\b", told)


def test_a_failed_sync_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may have dropped the data and call a second sync a success."""
    durable.replace(tmp_path / "file", b"old")
    disk = crash_disks.FailingDisk(3, errno.EIO, for_ever=False)  # create, write, sync
    monkeypatch.setattr(durable, "disk", disk)

    with pytest.raises(StateError, match="the disk reports a fault"):
        durable.replace(tmp_path / "file", b"new")
    assert disk.calls == ["create", "write", "sync", "close", "unlink"]
    assert crash_disks.tree_of(tmp_path) == {"file": b"old"}


# -- when the power fails ----------------------------------------------------------------------


def crashes(root: Path, action: Any, monkeypatch: Any, **forgets: Any) -> Iterator[Any]:
    """Every disk that a cut in `action` may leave, and whether the action had returned."""
    before = crash_disks.tree_of(root)
    disk = crash_disks.RecordingDisk(root, **forgets)
    monkeypatch.setattr(durable, "disk", disk)
    action()
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
    return crash_disks.crash_disks(before, disk.log)


def forget(operation: str, name: str) -> Any:
    return lambda done, path: done == operation and path.name.startswith(name)


OLD, NEW = b"o" * 700, b"n" * 1400  # more than a sector, so that they can be torn


def replaced_wrongly(root: Path, monkeypatch: Any, **forgets: Any) -> list[Any]:
    """The disks after `replace` on which the file is neither old nor new, or not yet new."""
    durable.replace(root / "file", OLD)
    disks = crashes(root, lambda: durable.replace(root / "file", NEW), monkeypatch, **forgets)
    return [
        tree.get("file")
        for tree, is_done in disks
        if tree.get("file") not in ((NEW,) if is_done else (OLD, NEW))
    ]


def test_a_replaced_file_is_old_or_new_after_any_cut(tmp_path: Path, monkeypatch: Any) -> None:
    """And new once the call has returned."""
    assert replaced_wrongly(tmp_path, monkeypatch) == []


@pytest.mark.parametrize(
    ("operation", "name"), [("sync", "file"), ("sync_folder", "")], ids=["file", "folder"]
)
def test_the_enumerator_misses_no_missing_sync(
    operation: str, name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """With the bug planted, it is found: the test above can fail."""
    assert replaced_wrongly(tmp_path, monkeypatch, forgets=forget(operation, name)) != []


def test_a_folder_made_on_the_way_does_not_vanish(tmp_path: Path, monkeypatch: Any) -> None:
    """The names of new folders are synced as well."""
    action = lambda: durable.replace(tmp_path / "a" / "b" / "file", NEW)  # noqa: E731
    ends = [tree for tree, is_done in crashes(tmp_path, action, monkeypatch) if is_done]

    assert ends == [{"a": {"b": {"file": NEW}}}]


@pytest.mark.parametrize("torn", [b"", b"00 h", b"0" * 700], ids=["sound", "torn", "torn far"])
@pytest.mark.parametrize("before", [[], [b"first"]], ids=["the first", "another"])
def test_no_cut_takes_a_record_that_was_acknowledged(
    before: list[bytes], torn: bytes, tmp_path: Path, monkeypatch: Any
) -> None:
    """Nor does what the cut left of a record damage one written later."""
    root = tmp_path / "root"
    root.mkdir()
    for record in before:
        durable.append(root / "log", record)
    if torn:
        with (root / "log").open("ab") as log:
            log.write(torn)
    cut = b"cut " * 200
    disks = list(crashes(root, lambda: durable.append(root / "log", cut), monkeypatch))
    for n, (tree, is_done) in enumerate(disks):
        again = tmp_path / str(n)
        crash_disks.write_tree(tree, again)
        durable.append(again / "log", b"last")
        records, _ = durable.read_records(again / "log")

        whole, without = [*before, cut, b"last"], [*before, b"last"]
        assert records in ([whole] if is_done else [whole, without])
    assert len(disks) >= 5


def test_a_retired_folder_is_never_half_there(tmp_path: Path, monkeypatch: Any) -> None:
    """Whole or gone under its name; what else is left, a sweep removes."""
    files = {"a": b"1", "b": b"2"}
    durable.publish_folder(tmp_path / "root", "one", files)
    disks = crashes(
        tmp_path / "root", lambda: durable.retire(tmp_path / "root" / "one"), monkeypatch
    )
    for n, (tree, is_done) in enumerate(disks):
        crash_disks.write_tree(tree, tmp_path / str(n))
        durable.sweep(tmp_path / str(n))

        assert crash_disks.tree_of(tmp_path / str(n)) in ([{}] if is_done else [{}, {"one": files}])


# -- failpoints --------------------------------------------------------------------------------


def test_every_failpoint_is_reached(tmp_path: Path, monkeypatch: Any) -> None:
    """A name that no code passes would be a test that tests nothing."""
    reached: set[Failpoint] = set()
    plan = {point: (lambda point=point: reached.add(point)) for point in Failpoint}
    monkeypatch.setattr(durable, "PLAN", plan)
    durable.publish_folder(tmp_path, "one", {"a": b""})
    durable.replace(tmp_path / "file", b"")
    durable.append(tmp_path / "log", b"")
    durable.set_aside(tmp_path / "log")
    durable.retire(tmp_path / "one")

    assert reached == set(Failpoint)


@pytest.mark.parametrize("plan", ["publish.nowhere:kill", "publish.done:dance", "publish.done"])
def test_a_misspelt_failpoint_is_an_error(plan: str) -> None:
    """Else the test that asked for it would pass for the wrong reason."""
    with pytest.raises(ValueError, match=r"publish"):
        durable._plan(plan)


# -- nobody else -------------------------------------------------------------------------------

WRITING = re.compile(
    """(write_text|write_bytes|touch|mkdir|makedirs|rmdir|unlink|rename|renames|symlink_to
    |hardlink_to|f?chmod|fsync|fdatasync|ftruncate|mkfifo|pwrite|rmtree|copyfile|copytree|copy2
    |tofile|savez|savez_compressed|savetxt|save_weights|mkstemp|mkdtemp|NamedTemporaryFile
    |TemporaryFile|TemporaryDirectory|O_WRONLY|O_RDWR|O_CREAT|O_APPEND|O_TRUNC|FileLock)
    |os[.](remove|replace|link|symlink|truncate|write)|shutil[.](copy|move)|(np|numpy)[.]save""",
    re.VERBOSE,
)
MODE = re.compile("[rwaxbt+]*[wax+][rwaxbt+]*")  # one that writes


def writing(source: str) -> list[str]:
    """The expressions in Python source that change files."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if _writes(node)]


def _writes(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return any(WRITING.fullmatch(name) for name in (node.attr, ast.unparse(node)))
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
        # Of a path it has one argument, of a string two, of a dataclass or a date named ones.
        return len(node.args) == 1 and not node.keywords
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return name in ("open", "memmap") and any(
        isinstance(value, ast.Constant) and MODE.fullmatch(str(value.value)) for value in given
    )


@pytest.mark.parametrize(
    "line",
    [
        "open(p, 'w')",
        "open(p, mode='ab')",
        "p.open('x')",
        "os.open(p, os.O_RDWR)",
        "os.replace(a, b)",
        "a.replace(b)",
        "p.unlink()",
        "np.save(p, a)",
        "np.memmap(p, 'u2', 'r+')",
        "tempfile.mkdtemp()",
        "gzip.open(p, 'wb')",
    ],
)
def test_the_search_for_writing_finds_it(line: str) -> None:
    """The test below can fail."""
    assert writing(line) != []


@pytest.mark.parametrize(
    "line",
    [
        "open(p)",
        "p.open('rb')",
        "os.open(p, os.O_RDONLY | os.O_CLOEXEC)",
        "text.replace('a', 'b')",
        "dataclasses.replace(entry, size=1)",
        "replace(entry)",
        "archive.open(name)",
        "np.memmap(p, dtype='<u2', mode='r')",
        "zipfile.ZipFile(file)",
        "os.fdopen(descriptor, 'rb')",
    ],
)
def test_the_search_for_writing_lets_reading_pass(line: str) -> None:
    """And it does not fail for nothing."""
    assert writing(line) == []


ROOT = Path(afterword_trainer.__file__).parents[2]
MODULES = sorted(
    path
    for package in ("daemon", "lsp", "trainer")
    for path in (ROOT / package).rglob("*.py")
    if path.name not in ("durable.py", "stdio.py")  # which writes to the editor's pipe
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_writes(path: Path) -> None:
    """All state goes to disk through `durable`, where the order of writing is tested."""
    assert writing(path.read_text("utf-8")) == []


def test_sqlite_writes_beside_it_and_only_the_index_of_the_reader() -> None:
    """It looks after its own file, and that one can be made again."""
    makes_one = re.compile(r"sqlite3\.connect|from sqlite3")
    users = [path.name for path in MODULES if makes_one.search(path.read_text("utf-8"))]
    assert users == ["index.py"]
