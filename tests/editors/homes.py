"""A user's home for a real editor to live in: a real daemon, a small real model, and what it knows.

The model is one of a few units that were drawn at random; what is suggested comes of the memory,
which has read each of `PHRASES` often enough to be sure. So a test types the first half of one,
and what must appear is what the daemon answers: `Home.suggestion` asks it. Knows processes and
files; knows nothing of any one editor.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import bases
import psutil
import pytest
from afterword_daemon import starting
from afterword_daemon.client import Connection, NotRunningError
from afterword_daemon.protocol import Status
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import Shelf
from daemons import clear_up, connect, lives, paths_in, pid_of, request
from household import BRIDGE, MEADOW, RIVER, afterword, knows, quick, text_of, watch

# Halves of phrases that stand nowhere else, and how they go on.
PHRASES = (RIVER, BRIDGE, MEADOW)
PATIENCE_S = 60.0  # ends a test that hangs; the machine may be busy with others
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "editors" / ".tools"  # where `make editors` puts what it downloads
MODEL = "you-1"

Which = Literal["mine", "base", "none"]
Found = TypeVar("Found")


class Home:
    """One home, and all that was started in it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.folder = paths.data.parent  # AFTERWORD_HOME; short, for the socket's sake
        self.user = self.folder / "user"  # the editor's HOME
        self.notes = self.user / "notes"  # watched, and learned
        self.work = self.user / "work"  # not watched: a folder to open in an editor
        self._started: list[subprocess.Popen[Any]] = []
        for folder in (self.notes, self.work, self.user / ".run"):
            folder.mkdir(parents=True, mode=0o700)

    # -- for an editor -------------------------------------------------------------------------

    @property
    def server(self) -> Path:
        """The language server, as its plug-in is told of it."""
        return Path(sys.executable).parent / "afterword-lsp"

    @property
    def environ(self) -> dict[str, str]:
        """What an editor is started with: nothing of the real home, `afterword-lsp` on PATH."""
        passed_on = {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
        user = self.user
        return passed_on | {
            "AFTERWORD_HOME": str(self.folder),
            "AFTERWORD_BASE": str(self.paths.base),
            "HOME": str(user),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": f"{self.server.parent}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "XDG_CACHE_HOME": str(user / ".cache"),
            "XDG_CONFIG_HOME": str(user / ".config"),
            "XDG_DATA_HOME": str(user / ".local" / "share"),
            "XDG_RUNTIME_DIR": str(user / ".run"),
            "XDG_STATE_HOME": str(user / ".local" / "state"),
        }

    def file(self, name: str, text: str | bytes = "") -> Path:
        """A file in the folder that is not watched."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def start(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """A process in a group of its own, in this home; it ends with the test.

        Its output goes to `editor.log` in this home, unless it is told otherwise.
        """
        with (self.folder / "editor.log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd or self.work,
                env=self.environ | dict(variables or {}),
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log if stderr is None else stderr,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(
        self, *command: str | Path, variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """A command in this home, to its end."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.work,
            env=self.environ | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE_S,
        )

    # -- the daemon ----------------------------------------------------------------------------

    def connect(self) -> Connection:
        """To the daemon, which is started if need be, and may take its time on a busy machine."""
        with pytest.MonkeyPatch.context() as patient:
            patient.setattr(starting, "START_S", PATIENCE_S)
            return connect(self.paths, *quick())

    def learn(self, *phrases: Sequence[str], name: str = "learned.md") -> None:
        """Save these in the watched folder, and wait until the daemon knows them."""
        (self.notes / name).write_text(text_of(*phrases), encoding="utf-8")
        with self.connect() as connection:
            for phrase in phrases:
                until(lambda phrase=phrase: knows(connection, phrase), f"{phrase} to be learned")  # type: ignore[misc]

    def suggestion(self, before: str, after: str = "", **fields: Any) -> str:
        """What the daemon answers to a key typed there, the best of it; "" for nothing.

        `fields` are those of `protocol.Complete`: path, language, indentation, options, ...
        """
        asked = {"document": "asked"} | fields
        with self.connect() as connection:
            items = connection.complete(request(before, after=after, **asked)).items
            return items[0].text if items else ""

    def complete(self, prompt: str) -> str:
        """What `afterword complete` prints."""
        result = afterword(self.paths, "complete", "--prompt", prompt)
        assert result.returncode == 0, result.stderr
        return result.stdout.removesuffix("\n")

    def status(self) -> Status | None:
        """How the daemon is; None if it is not running, and it is not started for that."""
        try:
            with Connection.open(self.paths, spawn=False, client="afterword") as connection:
                return connection.status()
        except NotRunningError:
            return None

    def n_requests(self) -> int:
        """How many suggestions this daemon was asked for, whatever came of it."""
        status = self.status()
        return sum(status.requests.values()) if status else 0

    def counts(self) -> dict[str, Any]:
        """What `afterword stats` tells: shown, accepted, characters, ..., of all days."""
        with self.connect() as connection:
            return connection.ask("stats")

    def pid(self) -> int:
        """Of the daemon, which runs."""
        return pid_of(self.paths)

    def kill_daemon(self) -> int:
        """At once, as a crash would; the id that it had."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not lives(pid), "the daemon to be gone")
        return pid

    def settings(self, more: str) -> None:
        """Add lines to the settings that all editors share; they hold a moment later."""
        watch(self.paths, self.notes, more=more)

    def servers(self) -> list[int]:
        """The language servers that run in this home."""
        return [
            process.pid
            for process in self._processes()
            if any("afterword-lsp" in w or "afterword_lsp" in w for w in process.cmdline())
        ]

    # -- the end -------------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing that was started here is left, whoever started it."""
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with suppress(OSError):
                        pipe.close()
        clear_up(self.paths)
        left = [*self._processes()]  # such as left their group
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, PATIENCE_S)

    def _processes(self) -> Iterator[psutil.Process]:
        """All that has this home for its own."""
        ours = {"AFTERWORD_HOME": str(self.folder)}.items()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and ours <= process.environ().items():
                    yield process


@contextmanager
def furnished(base: Path, which: Which = "mine") -> Iterator[Home]:
    """A home that ends with the block.

    "mine": a model of the user's is in use, and the memory knows `PHRASES`. "base": nothing was
    learned yet, as after the installation. "none": there is not even a base.
    """
    with tempfile.TemporaryDirectory(prefix="aw-", ignore_cleanup_errors=True) as folder:
        if which != "none":
            (Path(folder) / "base").symlink_to(base)
        home = Home(paths_in(Path(folder)))
        try:
            if which == "mine":
                shelf = Shelf(home.paths.models, home.paths.base)
                shelf.use(shelf.publish(bases.bundle(MODEL)))
                watch(home.paths, home.notes)
                home.learn(*PHRASES)
            yield home
        finally:
            home.close()


def tool(where: str, what: str) -> Path:
    """A program below `editors/.tools`, or of this system; skips the test where there is none."""
    below = TOOLS / where
    if below.exists():
        return below
    if "/" not in where and (found := shutil.which(where)):
        return Path(found)
    pytest.skip(f"{what} is not set up: make editors")


def until(condition: Callable[[], Found], what: str, within_s: float = PATIENCE_S) -> Found:
    """Wait until it holds; what it gives then. Fails, and says what was waited for."""
    end = time.monotonic() + within_s
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end, f"waited {within_s:.0f} s in vain for {what}"
        time.sleep(0.02)  # between two looks
