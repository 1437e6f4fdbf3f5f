"""A minute of writing, recorded key by key: typed again, it gets the same suggestions."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from clients import COMMAND
from daemons import clear_up, paths_in
from desk import Desk

# Every character is a key: ⌫ takes one back, ⇥ takes what is shown, ← and → move the cursor.
RECORDED = Path(__file__).with_name("letter.keys")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown(base: Path) -> list[str]:
    """What was shown at each key."""
    return replayed_anew(base)


def test_replay(base: Path, shown: list[str]) -> None:
    """In another home, by a daemon of its own: the same at every key, and something at many."""
    assert replayed_anew(base) == shown
    assert sum(map(bool, shown)) > len(shown) / 2


def test_no_net_ns(base: Path, shown: list[str]) -> None:
    """Where there is no network at all, not even to this machine: the very same suggestions."""
    alone = (shutil.which("unshare") or "false", "-rn")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody have a network of their own")

    assert replayed_anew(base, *alone, *COMMAND) == shown


def replayed_anew(base: Path, *command: str) -> list[str]:
    """With a daemon that knows nothing yet, in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="aw-") as home:
        (Path(home) / "base").symlink_to(base)
        paths = paths_in(Path(home))
        desk = Desk(paths, *command)
        try:
            return replayed(desk)
        finally:
            desk.kill()
            clear_up(paths)


def replayed(desk: Desk) -> list[str]:
    """Type what was recorded, and wait after each key for what is shown."""
    desk.open("")
    desk.until_ready()
    shown: list[str] = []
    for key in RECORDED.read_text(encoding="utf-8").rstrip("\n"):
        cursor = desk.cursor
        match key:
            case "⌫":
                desk.edit((cursor - 1, cursor, ""))
            case "⇥":
                desk.type(shown[-1])
            case "←":
                desk.cursor -= 1
            case "→":
                desk.cursor += 1
            case _:
                desk.type(key)
        shown.append("".join(desk.suggestions()[:1]))
    return shown
