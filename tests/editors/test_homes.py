"""The home that the tests of editors rely on: what it knows, and that nothing of it is left."""

from pathlib import Path

import psutil
import pytest
from daemons import eventually, lives
from homes import PHRASES, RIVER, Home, Which, furnished


def test_what_is_suggested_is_known_beforehand(shared_home: Home) -> None:
    """By the daemon as it answers a key, and by `afterword complete`; with a path or without."""
    for half, rest in PHRASES:
        typed = f"As I said:\n{half}"
        assert shared_home.suggestion(typed) == f"{rest}."
        assert shared_home.suggestion(half, path="work/a.md", language="markdown") == f"{rest}."
        assert shared_home.complete(typed) == f"{rest}."


def test_requests_are_counted(shared_home: Home) -> None:
    """Each one, and no look at the status."""
    before = shared_home.n_requests()
    shared_home.suggestion("What is nowhere")
    assert shared_home.n_requests() == before + 1
    assert shared_home.n_requests() == before + 1


def test_a_daemon_that_was_killed_knows_what_it_knew(home: Home) -> None:
    """The next one has read the memory."""
    memory = home.paths.data / "memory"
    assert eventually(memory.exists)
    killed = home.kill_daemon()
    assert home.status() is None
    assert home.suggestion(RIVER[0]) == f"{RIVER[1]}."
    assert home.pid() != killed


def test_nothing_is_left(base: Path) -> None:
    """Neither a child, nor who left its group, nor the daemon; nor a file."""
    with furnished(base) as home:
        child = home.start("sleep", "1000")
        assert home.start("setsid", "--fork", "sleep", "2000.5").wait() == 0
        daemon = home.pid()
        folder = home.folder
    assert not lives(child.pid)
    assert not lives(daemon)
    assert not folder.exists()
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if "2000.5" in (one.info["cmdline"] or ())
    ]


@pytest.mark.parametrize("which", ["base", "none"])
def test_a_home_may_be_new(base: Path, which: Which) -> None:
    """Nothing was learned, and nobody has started a daemon."""
    with furnished(base, which) as home:
        assert home.status() is None
        assert home.suggestion(RIVER[0]) == ""
