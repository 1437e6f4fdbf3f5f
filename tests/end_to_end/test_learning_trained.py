"""The daemon trains by itself: a real training of a few units, told, put to use, given up, killed.

When it trains is tested with `learning`, by another clock; here everything is due at once. The
child runs only when nobody else wants a processor, so on a busy machine these tests take long.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from afterword_daemon import config
from afterword_daemon.protocol import Changed
from afterword_trainer import ledger
from afterword_trainer.paths import Paths
from daemons import Raw, connect, eventually, lives, pid_of, raw, request
from household import QUICK, READER, TRAINER, afterword, children, watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PATIENCE_S = 300.0
EAGER = {
    "backlog__ENOUGH": 1000,
    "backlog__LITTLE": 1000,
    "backlog__RETRY_S": 0.1,
    "backlog__HOUR_S": 3600.0,
    "conditions__AWAY_S": 1.0,
    "conditions__MOST_LOAD": 1e6,
    "conditions__MOST_PRESSURE": 1e6,
    "learning__LOOK_S": 0.1,
}
# An odd daemon, of which the child trains for so many symbols.
DAEMON = (
    "import json, sys; sys.path += json.loads(sys.argv.pop(1)); import daemons;"
    "daemons._be_odd(json.loads(sys.argv.pop(1)));"
    "from afterword_daemon import learning, process;"
    "given = learning.Learning.__init__.__kwdefaults__;"
    "given['command'] += ('--symbols', sys.argv.pop(1), '--seed', '1');"
    "sys.exit(process.main(sys.argv[1:]))"
)


def eager(n_symbols: int) -> tuple[str, ...]:
    """A command for it."""
    own = [path for path in sys.path if "tests" in path]
    return sys.executable, "-c", DAEMON, json.dumps(own), json.dumps(QUICK | EAGER), str(n_symbols)


@pytest.fixture
def notes(paths: Paths, tmp_path: Path) -> Path:
    """A folder of the user's, which is watched, and in which the newest is worth learning."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(6):
        lines = [f"On day {number} we counted {n * n} boats.\n" for n in range(60)]
        write(folder / f"day-{number}.md", "".join(lines), 1_700_000_000 + number)
    letters = [
        f"Dear Judy, the {n}th letter is of gardens, and of {n * 7} roses.\n" for n in range(300)
    ]
    write(folder / "letters.md", "".join(letters), 1_800_000_000)
    watch(paths, folder)
    settings = config.path_of(paths)
    settings.write_text(settings.read_text() + "max_cpu_percent = 100\n")
    return folder


def write(path: Path, text: str, modified: int) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (modified, modified))


def test_what_is_better_is_put_to_use(paths: Paths, notes: Path) -> None:
    """All hear how far it is; a key stops it; then the next answer is the new one's."""
    with connect(paths, *eager(300_000)) as connection, raw(paths) as one:
        told = changes(one)
        heard = [next(change for change in told if change.progress)]
        [child] = children(paths, TRAINER)
        status = Path(f"/proc/{child}/status").read_text()
        assert "\nSeccomp:\t2\n" in status  # no network, in there too
        assert psutil.Process(child).nice() == 19
        assert connection.complete(request("The river r")).model == "base"
        assert eventually(lambda: connection.status().learning.state == "halted")
        # Each of its threads has to have a turn to stand still.
        assert eventually(lambda: psutil.Process(child).status() == psutil.STATUS_STOPPED)

        for change in told:
            heard.append(change)
            if change.model != "base":
                break
        shares = [change.progress for change in heard[:-1] if change.progress is not None]
        assert {change.state for change in heard[:-1]} <= {"learning", "ready"}
        assert shares == sorted(shares)
        assert len({*shares}) > 2
        answer = connection.complete(request("The river r"))
        assert answer.model == heard[-1].model == "you-1"
        # It is in use as soon as it is on the shelf, and its child may be about to leave.
        assert eventually(lambda: connection.status().learning.last is not None, PATIENCE_S)
        facts = connection.status().learning
        assert facts.last
        assert facts.last.how == "better"
        assert facts.last.after["bits_per_character"] < facts.last.before["bits_per_character"]
        assert facts.waiting_characters == 0
        assert "better than before" in afterword(paths, "status").stdout
        assert eventually(lambda: not children(paths, TRAINER))


def test_what_is_no_better_is_said(paths: Paths, notes: Path) -> None:
    """And the model in use stays; the ledger knows of it too."""
    draw = random.Random(7)
    # What is learned are figures, and it is measured on the newest, which are words: of them the
    # memory knows all that there is to know, and figures make no network better at them.
    words = ["the", "river", "rose", "over", "meadows", "nobody", "knew", "why", "until", "wind"]
    for path in sorted(notes.iterdir()):
        is_newest = path.name == "letters.md"
        made = words if is_newest else [str(n * n) for n in range(100, 200)]
        lines = [" ".join(draw.choices(made, k=9)) + ".\n" for _ in range(60)]
        write(path, "".join(lines), int(path.stat().st_mtime))
    with connect(paths, *eager(20_000)) as connection, raw(paths) as one:
        told = changes(one)
        next(change for change in told if change.state == "learning")
        last = next(change for change in told if change.state == "ready")
        assert last.model == "base"
        facts = connection.status().learning
        assert facts.last
        assert (facts.last.how, facts.state) == ("no-better", "idle")
        assert "no better than the one in use" in afterword(paths, "status").stdout
        assert connection.complete(request("The river r")).model == "base"
    assert [entry.what for entry in ledger.read(paths).entries] == ["rejected"]


@pytest.mark.parametrize("how", ["killed", "paused", "stopped", "not watched"])
def test_nobody_trains_for_a_daemon_that_is_gone(paths: Paths, notes: Path, how: str) -> None:
    """Whatever became of it; the next one finds everything in order."""
    with connect(paths, *eager(100_000_000)) as connection:
        assert eventually(lambda: is_at_work(paths), PATIENCE_S)
        daemon = pid_of(paths)
        own = children(paths, TRAINER) + (children(paths, READER) if how != "not watched" else [])
        assert len(own) == (1 if how == "not watched" else 2)
        match how:
            case "killed":
                os.kill(daemon, signal.SIGKILL)
            case "stopped":
                connection.ask("stop")
            case "paused":
                connection.ask("pause")
            case _:
                assert afterword(paths, "watch", "remove", str(notes)).returncode == 0
        assert eventually(lambda: not any(map(lives, own)), within_s=2)
        if how in ("killed", "stopped"):
            assert eventually(lambda: not lives(daemon))
        else:
            assert connection.status().learning.state == ("paused" if how == "paused" else "off")
    with connect(paths) as connection:
        wanted = "paused" if how == "paused" else "ready"
        assert eventually(lambda: connection.status().state == wanted)
        assert connection.complete(request("The river r")).model == "base"
        assert not children(paths, TRAINER)


def is_at_work(paths: Paths) -> bool:
    """Whether a child trains, and has stepped back behind everybody else."""
    return any(psutil.Process(pid).nice() == 19 for pid in children(paths, TRAINER))


def changes(one: Raw) -> Iterator[Changed]:
    """What everybody is told, as long as it takes."""
    one.socket.settimeout(PATIENCE_S)
    message: Any
    for message in one.hears():
        if isinstance(message, Changed):
            yield message
