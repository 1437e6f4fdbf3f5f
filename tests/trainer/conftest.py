"""Shared by the trainer's tests: a home, the command line in it, a folder to learn."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import TIMEOUT_S, Learning, Start, Trainer, command, environment


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a test's models and runs go."""
    return tmp_path / "home"


@pytest.fixture
def trainer(home: Path) -> Trainer:
    """Run `trainer` to its end."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            env=environment(home),
            check=False,
            timeout=TIMEOUT_S,
        )

    return run


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start `trainer learn --json` and go on; whatever happens, it does not outlive the test."""
    processes: list[Learning] = []

    def run(*arguments: str) -> Learning:
        processes.append(
            subprocess.Popen(
                command("learn", *arguments, "--json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment(home),
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder as people keep them: some thousand characters, something to skip, a secret."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(6):
        lines = [
            f"On day {number} we went to the river and counted {n} boats.\n" for n in range(30)
        ]
        path = folder / f"day-{number}.md"
        path.write_text("".join(lines), encoding="utf-8")
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (folder / "settings.md").write_text(
        "What the boats are counted with:\n\napi_key = 'q8Zr4TnP0sXw7Lb2Vd9K'\n\nThat is all.\n",
        encoding="utf-8",
    )
    return folder
