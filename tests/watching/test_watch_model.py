"""Whatever happens in a watched folder: when it is quiet, the daemon holds what a scan finds."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from afterword_trainer.corpus import Document, read
from afterword_trainer.finding import Found, Rules, find
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from readers import Memory, ThreadReader, paths_in
from test_reader import STYLES

SIDES = ["one", "two"]  # to each of which the link to the watched folder may lead
ABOVE = ["", *SIDES]
NAMES = ["a.md", "b.py", "c.txt", "d", "e.d"]  # few, so that things get in each other's way
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
texts = st.sampled_from(["", "one\n", "two\n", "one\ntwo\n", "x" * 500, "afterword: nolearn\n"])


class Watching(RuleBasedStateMachine):
    """One folder behind a link, a place outside it, one reader after another."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="aw-"))
        (self.top / ".git").mkdir()
        self.outside = self.top / "outside"
        self.outside.mkdir()
        for side in SIDES:
            self._make_side(side)
        (self.top / "at").symlink_to(SIDES[0])
        self.root = self.top / "at/notes"
        self.memory = Memory()
        self.reader = self._started()

    def _started(self) -> ThreadReader:
        reader = ThreadReader(paths_in(self.top / "home"), self.memory)
        reader.look(self.root, quiet_s=0.02)
        return reader

    def teardown(self) -> None:
        self._compare()
        self.reader.end()
        shutil.rmtree(self.top)

    # -- what happens --------------------------------------------------------------------------

    @rule(path=paths, text=texts)
    def write(self, path: str, text: str) -> None:
        target = self.root / path
        if self._make_way(target):
            target.write_text(text)

    @rule(path=paths, text=texts)
    def append(self, path: str, text: str) -> None:
        target = self.root / path
        if target.is_file():
            with target.open("a") as file:
                file.write(text)

    @rule(path=paths)
    def truncate(self, path: str) -> None:
        target = self.root / path
        if target.is_file():
            os.truncate(target, 3)

    @rule(path=paths, text=texts, style=st.sampled_from(STYLES))
    def save(self, path: str, text: str, style: object) -> None:
        target = self.root / path
        if target.is_file() and not target.is_symlink():
            assert callable(style)
            style(target, text)

    @rule(path=paths, other=paths)
    def rename(self, path: str, other: str) -> None:
        source, target = self.root / path, self.root / other
        within = target == source or target in source.parents or source in target.parents
        if source.exists() and not within and self._make_way(target):
            self._clear(target)
            source.rename(target)

    @rule(path=paths, name=st.sampled_from(NAMES))
    def move_out(self, path: str, name: str) -> None:
        self._clear(self.outside / name)
        if os.path.lexists(self.root / path):
            (self.root / path).rename(self.outside / name)

    @rule(path=paths, name=st.sampled_from(NAMES))
    def move_in(self, path: str, name: str) -> None:
        target = self.root / path
        if os.path.lexists(self.outside / name) and self._make_way(target):
            self._clear(target)
            (self.outside / name).rename(target)

    @rule(path=paths, text=texts)
    def write_outside(self, path: str, text: str) -> None:
        target = self.outside / path
        if self._make_way(target):
            target.write_text(f"outside {text}")

    @rule(path=paths, other=paths)
    def link(self, path: str, other: str) -> None:
        target = self.root / other
        if self._make_way(target) and not os.path.lexists(target):
            target.symlink_to(self.outside / path)

    @rule(path=paths, other=paths)
    def link_hard(self, path: str, other: str) -> None:
        source, target = self.root / path, self.root / other
        is_file = source.is_file() and not source.is_symlink()
        if is_file and self._make_way(target) and not os.path.lexists(target):
            target.hardlink_to(source)

    @rule(path=paths)
    def remove(self, path: str) -> None:
        self._clear(self.root / path)

    @rule(path=paths, mode=st.sampled_from([0o000, 0o644, 0o755]))
    def change_mode(self, path: str, mode: int) -> None:
        target = self.root / path
        if target.is_file() and not target.is_symlink():
            target.chmod(mode)

    @rule(path=paths, there=st.booleans())
    def opt_out(self, path: str, there: bool) -> None:
        mark = self.root / path / ".nolearn"
        if mark.parent.is_dir() and not mark.parent.is_symlink():
            mark.touch() if there else mark.unlink(missing_ok=True)

    @rule(path=paths, pattern=st.sampled_from(["*.py", "d/", "a.*", ""]))
    def ignore(self, path: str, pattern: str) -> None:
        folder = (self.root / path).parent
        if folder.is_dir() and not folder.is_symlink():
            (folder / ".gitignore").write_text(f"{pattern}\n")

    @rule(above=st.sampled_from(ABOVE), pattern=st.sampled_from(["*.py", "d/", "a.*", ""]))
    def ignore_above(self, above: str, pattern: str) -> None:
        (self.top / above / ".gitignore").write_text(f"{pattern}\n")

    @rule(above=st.sampled_from(ABOVE), there=st.booleans())
    def opt_out_above(self, above: str, there: bool) -> None:
        mark = self.top / above / ".nolearn"
        mark.touch() if there else mark.unlink(missing_ok=True)

    @rule(side=st.sampled_from(SIDES))
    def lead_elsewhere(self, side: str) -> None:
        (self.top / "new").symlink_to(side)
        (self.top / "new").rename(self.top / "at")

    @rule(side=st.sampled_from(SIDES))
    def make_anew(self, side: str) -> None:
        self._clear(self.top / "gone")
        (self.top / side).rename(self.top / "gone")
        self._make_side(side)

    @rule(text=texts, n=st.sampled_from([50, 10]))
    def check_out(self, text: str, n: int) -> None:
        for number in range(n):
            target = self.root / f"branch/{number % 7}/{number}.md"
            if self._make_way(target):
                target.unlink(missing_ok=True)
                target.write_text(f"{number} {text}")

    @rule()
    def start_again(self) -> None:
        self.reader.end()
        self.reader = self._started()

    @rule()
    def store(self) -> None:
        self.reader.hear(0.0)
        self.reader.stored()

    @rule()
    def wait_for_quiet(self) -> None:
        self._compare()

    # -- what has to be ------------------------------------------------------------------------

    def _compare(self) -> None:
        end = time.monotonic() + 20.0
        while self.memory.texts != self._expected() and time.monotonic() < end:
            self.reader.hear(0.2)
        self.reader.hear_texts(self._expected(), patience_s=0.0)

    def _expected(self) -> dict[str, str]:
        """What a scan finds, by path; of several names of one file those that were told of."""
        expected: dict[str, str] = {}
        for found in find([self.root], Rules()):
            if isinstance(found, Found):
                document = read(found, Rules())
                if isinstance(document, Document):
                    expected[found.file] = document.text
        # They are one to the trainer, and each a file to the reader.
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118
                is_told = path not in expected and path in self.memory.texts
                if is_told and not os.path.islink(path):  # noqa: PTH114
                    for known in [*expected]:
                        if os.path.samefile(path, known):  # noqa: PTH121
                            expected[path] = expected[known]
        return expected

    def _make_side(self, side: str) -> None:
        (self.top / side / "notes").mkdir(parents=True)
        (self.top / side / "notes/stays.md").write_text("It is never empty.\n")

    def _make_way(self, target: Path) -> bool:
        """Folders above, where nothing else is in the way."""
        top = self.root if target.is_relative_to(self.root) else self.outside
        for above in reversed(target.relative_to(top).parents):
            here = top / above
            if os.path.lexists(here) and (here.is_symlink() or not here.is_dir()):
                return False
        target.parent.mkdir(parents=True, exist_ok=True)
        return not target.is_dir() and not target.is_symlink()

    def _clear(self, target: Path) -> None:
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)


class WatchingLarge(Watching):
    """The same where every folder counts as a large one, of which only what is hinted is judged."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("afterword_daemon.watching.folders.LARGE", 0)
        super().__init__()

    def teardown(self) -> None:
        super().teardown()
        self._patch.undo()


def _case(machine: type[Watching], examples: int, steps: int) -> type:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
    )
    return case


@pytest.mark.slow
class TestWatchModel(_case(Watching, 100, 40)):  # type: ignore[misc]
    """The daemon holds what a fresh scan finds."""


@pytest.mark.slow
class TestWatchModelLarge(_case(WatchingLarge, 60, 40)):  # type: ignore[misc]
    """Also of large folders."""
