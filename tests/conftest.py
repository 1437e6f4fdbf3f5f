"""What holds for every test."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bases
import pytest
from afterword_trainer.paths import Paths
from daemons import clear_up, paths_in
from hypothesis import settings

# How long an example takes is the machine's affair, which is shared.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would
# inherit that; some of it is tested by interrupting it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of a few units, made once."""
    return bases.make(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def paths(base: Path) -> Iterator[Paths]:
    """A home of which the socket's path is not too long; what was started there ends."""
    with tempfile.TemporaryDirectory(prefix="aw-") as home:
        (Path(home) / "base").symlink_to(base)
        ours = paths_in(Path(home))
        yield ours
        clear_up(ours)
