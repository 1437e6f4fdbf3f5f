"""Disks that fail, processes that are killed, bytes that rot: what is left of state that learns.

The shelf of models has its own such tests; here are the files that say what was learned and what
was forgotten, and then an update as a whole, its network alone left out.
"""

import errno
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bases
import crash_disks
import pytest
from afterword_trainer import (
    candidate,
    durable,
    finding,
    learn,
    ledger,
    registry,
    remembering,
)
from afterword_trainer import forgotten as forgotten_paths
from afterword_trainer.durable import Failpoint, StateError
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.gate import Verdict
from afterword_trainer.ledger import Entry
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import remembered
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Request
from afterword_trainer.registry import Registry
from afterword_trainer.remembering import Remembered
from afterword_trainer.run import Listener
from afterword_trainer.shelf import Shelf


def paths_of(home: Path) -> Paths:
    """A home without a base model."""
    return Paths.from_environment({"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home)})


@pytest.fixture
def paths(home: Path) -> Paths:
    """One with nothing in it."""
    return paths_of(home)


# -- file by file ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One kind of state: how it gets its old and its new content, and what a reader finds."""

    change: Callable[[Paths, int], object]  # to content 1, and from that to content 2
    found: Callable[[Paths], Any]
    one: Any
    two: Any
    files: tuple[str, ...]  # in the data folder
    rotten: Any = field(default=StateError)  # what may be found where a byte is another


def add_entry(paths: Paths, number: int) -> None:
    ledger.add(paths, Entry(what="used", when="2031-01-31T12:00:00Z", model=f"you-{number}"))


def learn_file(paths: Paths, number: int) -> None:
    rows = Registry.load(paths)
    rows.file(f"/notes/{number}.md")
    rows.save()


def forget_file(paths: Paths, number: int) -> None:
    Forgotten.load(paths).add(f"/notes/{number}.md")


def forgotten_files(paths: Paths) -> list[int]:
    return [n for n in (1, 2, 3) if Forgotten.load(paths).holds(f"/notes/{n}.md")]


def remember(paths: Paths, number: int) -> None:
    memory = Memory(Alphabet())
    for n in range(1, number + 1):
        memory.learn(f"/notes/{n}.md", Alphabet().encode(f"We counted {n} boats.\n" * 3))
    kept = Remembered(memory=memory, mixer=Mixer.default(), id="0123456789abcdef")
    remembering.save(remembering.path_of(paths), kept)


def remembered_files(paths: Paths) -> Any:
    kept = remembering.load(remembering.path_of(paths), Alphabet())
    return sorted(kept.memory.documents()) if kept else None


STATES = {
    "ledger": State(
        change=add_entry,
        found=lambda paths: [entry.model for entry in ledger.read(paths).entries],
        one=["you-1"],
        two=["you-1", "you-2"],
        files=(ledger.NAME,),
        rotten=[[], ["you-1"], ["you-2"]],
    ),
    "registry": State(
        change=learn_file,
        found=lambda paths: sorted(Registry.load(paths).files),
        one=["/notes/1.md"],
        two=["/notes/1.md", "/notes/2.md"],
        files=(registry.NAME,),
        rotten=[[]],
    ),
    "forgotten": State(
        change=forget_file,
        found=forgotten_files,
        one=[1],
        two=[1, 2],
        files=(forgotten_paths.NAME, forgotten_paths.KEY),
    ),
    "memory": State(
        change=remember,
        found=remembered_files,
        one=["/notes/1.md"],
        two=["/notes/1.md", "/notes/2.md"],
        files=("memory",),
        rotten=[None],
    ),
}


@pytest.fixture(
    params=["ledger", "registry", "forgotten", pytest.param("memory", marks=pytest.mark.slow)]
)
def state(request: pytest.FixtureRequest) -> State:
    """Each kind in turn."""
    return STATES[request.param]


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_nth_error_leaves_the_old_or_the_new(
    code: int, for_ever: bool, state: State, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever system call fails: what could not be written is said, and can be done again."""
    template = home.with_name("template")
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
    state.change(paths_of(template), 1)
    for nth in range(1, 100):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home)
        paths = paths_of(home)
        disk = crash_disks.FailingDisk(nth, code, for_ever=for_ever)
        monkeypatch.setattr(durable, "disk", disk)
        is_done = True
        try:
            state.change(paths, 2)
        except StateError:
            is_done = False
        monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
        assert state.found(paths) in ([state.two] if is_done else [state.one, state.two])
        state.change(paths, 3)
        assert state.found(paths) not in (state.one, state.two)
        if not disk.has_failed:
            break
    assert nth > 3


def test_crash_disks_hold_the_old_or_the_new(
    state: State, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut at any moment; once the change was acknowledged, the new."""
    home.mkdir()
    paths = paths_of(home)
    state.change(paths, 1)
    before = crash_disks.tree_of(home)
    disk = crash_disks.RecordingDisk(home)
    monkeypatch.setattr(durable, "disk", disk)
    state.change(paths, 2)
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
    for number, (tree, is_done) in enumerate(crash_disks.crash_disks(before, disk.log)):
        after = home.with_name(f"after-{number}")
        crash_disks.write_tree(tree, after)
        found = state.found(paths_of(after))
        assert found in ([state.two] if is_done else [state.one, state.two])
    assert number > 3


def test_the_first_time_is_as_safe(
    state: State, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there was nothing before: nothing, or all of it."""
    home.mkdir()
    paths = paths_of(home)
    nothing = state.found(paths)
    disk = crash_disks.RecordingDisk(home)
    monkeypatch.setattr(durable, "disk", disk)
    state.change(paths, 1)
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
    for number, (tree, is_done) in enumerate(crash_disks.crash_disks({}, disk.log)):
        after = home.with_name(f"after-{number}")
        crash_disks.write_tree(tree, after)
        ours = paths_of(after)
        assert state.found(ours) in ([state.one] if is_done else [nothing, state.one])
        state.change(ours, 2)
        assert state.found(ours)


def test_bitrot_is_never_believed(state: State, paths: Paths) -> None:
    """One bit of any byte: what it damaged is missing or an error, and nothing is made up."""
    state.change(paths, 1)
    state.change(paths, 2)
    for name in state.files:
        file = paths.data / name
        data = file.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 500)):
            rotten = bytearray(data)
            rotten[at] ^= 1 << at % 8
            file.write_bytes(rotten)
            if state.rotten is StateError:
                with pytest.raises(StateError, match="; "):
                    state.found(paths)
            else:
                assert state.found(paths) in state.rotten
            for aside in paths.data.glob("*.broken"):
                aside.unlink()
        file.write_bytes(data)
    assert state.found(paths) == state.two


# -- an update as a whole ----------------------------------------------------------------------

CHECKPOINT = "checkpoint-0123"
KEPT = 10  # models that a shelf keeps; the next one costs the oldest


@pytest.fixture
def template(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home as full as it gets, its notes not learned yet; what is made of them is as good."""

    def train(planned: Any, text: Any, listener: Listener) -> Any:
        checkpoint = planned.paths.runs / CHECKPOINT
        durable.replace(checkpoint, b"as far as it was")
        progress = SimpleNamespace(symbols=1000, seconds=1.0)
        run = SimpleNamespace(
            id="run",
            checkpoint=checkpoint,
            parent=planned.parent.id,
            precision="float32",
            training=SimpleNamespace(progress=progress),
        )
        return SimpleNamespace(run=run, told=(), interrupted=False), planned.parent

    def export(new_id: str, text: Any, trained: Any, parent: Any) -> Any:
        known = remembered([*parent.documents, *text.documents])
        return bases.bundle(new_id, documents=known, provenance={"run": "run"})

    verdict = Verdict(accepted=True, sentence="better than before")
    monkeypatch.setattr(candidate, "train", train)
    monkeypatch.setattr(candidate, "export", export)
    monkeypatch.setattr(candidate, "provenance", lambda *_: {"run": "run"})
    monkeypatch.setattr(learn, "_verdict", lambda *_: verdict)
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
    folder = tmp_path / "template"
    shelf = Shelf(folder / "data/models")
    for number in range(1, KEPT + 1):
        shelf.publish(bases.bundle(f"you-{number}"))
    shelf.use(f"you-{KEPT}")
    return folder


def update(paths: Paths, notes: Path) -> learn.Learned:
    """Go on from the model in use."""
    request = Request(roots=[notes], rules=finding.Rules(), work="updated", origin="current")
    return learn.update(request, paths, Listener(show=lambda record: None))


def require_sound(paths: Paths, *, n_torn: int = 0) -> None:
    """A whole model serves, the ledger can be read, and says how that model was made."""
    bundle, notice = Shelf(paths.models, paths.base).current()
    assert bundle is not None
    assert (notice, bundle.id in ("you-10", "you-11", "you-12")) == (None, True)
    found = ledger.read(paths)
    assert found.n_damaged <= n_torn
    assert bundle.id == "you-10" or bundle.id in [entry.model for entry in found.entries]
    assert {row.id for row in Registry.load(paths).files.values()} >= bundle.learned_ids()
    assert not list(paths.data.glob("*.broken"))


def require_tidy(paths: Paths) -> None:
    """Nothing of what was begun is left, no text above all; the oldest models are gone."""
    assert {path.name for path in paths.runs.iterdir()} <= {"lock", "lock.pid"}
    left = [path.name for path in paths.models.iterdir()]
    assert not [name for name in left if name.endswith((durable.TEMPORARY, durable.TOMB))]
    assert len([name for name in left if name.startswith("you-")]) == KEPT


@pytest.mark.slow
def test_kill_points_of_an_update(template: Path, home: Path, notes: Path) -> None:
    """SIGKILL at every moment that has a name, however often it comes; and the next one works."""
    reached: set[Failpoint] = set()
    for nth in range(1, 400):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home)
        paths = paths_of(home)
        if not killed_at(nth, paths, notes, reached):
            break
        require_sound(paths)
        # The model may have been in use already; then it takes something new to tidy up.
        (notes / "new.md").write_text("On the last day we counted them again.\n" * 40)
        update(paths, notes)
        require_sound(paths)
        require_tidy(paths)
        (notes / "new.md").unlink()
    assert nth > 60
    require_tidy(paths)
    missed = set(Failpoint) - reached
    assert missed == {Failpoint.SET_ASIDE_AFTER_RENAME}


def killed_at(nth: int, paths: Paths, notes: Path, reached: set[Failpoint]) -> bool:
    """Update in a process that is killed at the `nth` moment; False if there are not so many."""
    told, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where threads may be
        child = os.fork()
    if not child:
        n = 0

        def pass_by(point: Failpoint) -> None:
            nonlocal n
            n += 1
            if n == nth:
                os.write(tell, point.value.encode())
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            durable.PLAN.update({point: lambda point=point: pass_by(point) for point in Failpoint})
            update(paths, notes)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    with os.fdopen(told) as pipe:
        name = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == (-signal.SIGKILL if name else 0)
    if name:
        reached.add(Failpoint(name))
    return bool(name)


@pytest.mark.slow
@pytest.mark.parametrize("for_ever", [False, True])
def test_nth_error_of_an_update(
    for_ever: bool, template: Path, home: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at this system call or that is an error; with room again, the command works.

    One that refuses for ever may keep half a line of the ledger, which the next line replaces.
    """
    for nth in range(1 + 5 * for_ever, 400, 10):  # each costs a second or two
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home)
        paths = paths_of(home)
        disk = crash_disks.FailingDisk(nth, errno.ENOSPC, for_ever=for_ever)
        monkeypatch.setattr(durable, "disk", disk)
        with suppress(StateError):
            update(paths, notes)
        monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
        require_sound(paths, n_torn=for_ever)
        if not disk.has_failed:
            break
        update(paths, notes)
        require_sound(paths)
    assert nth > 60
    require_tidy(paths)
