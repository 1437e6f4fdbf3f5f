"""What is forgotten is gone at once, from everywhere, and does not come back.

`trainer forget` beside a daemon that runs; what it does to models is tested with the trainer.
"""

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest
from afterword_daemon import trainee
from afterword_daemon.protocol import Changed, Model
from afterword_trainer import ledger, remembering
from afterword_trainer.paths import Paths
from daemons import Raw, connect, eventually, lives, pid_of, raw
from household import (
    BRIDGE,
    MEADOW,
    RIVER,
    TRAINER,
    children,
    knows,
    quick,
    soon_knows,
    text_of,
    trainer,
    watch,
)

PATIENCE_S = 300.0  # for a training beside other tests
CANARY = "Zinnoberkäfer-4711"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of the user's, of which one file will be forgotten."""
    folder = tmp_path / "notes"
    (folder / f"about {CANARY}").mkdir(parents=True)
    (folder / f"about {CANARY}" / "diary.md").write_text(diary(), encoding="utf-8")
    (folder / "kept.md").write_text(text_of(BRIDGE))
    return folder


def diary() -> str:
    """Long enough that to forget it takes more than a moment."""
    return text_of(RIVER) + f"{CANARY} and I.\n" * 8000


def test_what_is_forgotten_is_gone_before_the_next_answer(paths: Paths, notes: Path) -> None:
    """However much it is, and though somebody saves it again and again."""
    watch(paths, notes)
    secret = notes / f"about {CANARY}"
    # It looks when it is asked something, and not before.
    looks = {"server__REFRESH_S": 1e6, "server__LOOK_S": 1e6, "keeping__FORGET_S": 0.05}
    with connect(paths, *quick(**looks)) as connection:
        assert soon_knows(connection, RIVER)
        assert eventually(lambda: any(files_with(paths)))
        assert trainer(paths, "forget", str(secret), "--yes").returncode == 0
        assert not knows(connection, RIVER)
        assert knows(connection, BRIDGE)

        (secret / "diary.md").write_text(text_of(RIVER))
        (secret / "another.md").write_text(text_of(RIVER))
        (notes / "mark.md").write_text(text_of(MEADOW))
        assert soon_knows(connection, MEADOW)
        assert not knows(connection, RIVER)
        # In the memory on disk too, whoever had it open meanwhile.
        assert eventually(lambda: remembering.path_of(paths).exists() and not [*files_with(paths)])

    with connect(paths) as connection:
        assert soon_knows(connection, MEADOW)
        assert not knows(connection, RIVER)
        assert trainer(paths, "forget", "--undo", str(secret)).returncode == 0
        assert soon_knows(connection, RIVER)


@pytest.mark.slow
def test_no_trace(paths: Paths, notes: Path) -> None:
    """No byte of it is in any file of ours, in no encoding; nor of the name of its folder.

    It was in the memory, in the index, and in a model, its report and its samples.
    """
    learned = trainer(paths, "learn", str(notes), "--epochs", "0.2", "--threads", "1")
    assert learned.returncode == 0, learned.stderr
    watch(paths, notes)
    with connect(paths, *quick(server__REFRESH_S=0.0, keeping__FORGET_S=0.05)) as connection:
        assert soon_knows(connection, RIVER)
        assert eventually(lambda: {"memory", "files.sqlite"} <= {p.name for p in files_with(paths)})
        secret = notes / f"about {CANARY}"
        forgotten = trainer(paths, "forget", str(secret), "--yes")
        assert forgotten.returncode == 0, forgotten.stderr
        assert eventually(lambda: not [*files_with(paths)]), [*files_with(paths)]
        connection.ask("stop")
    assert eventually(lambda: not (paths.data / "endpoint.json").exists())
    assert not [*files_with(paths)]


@pytest.mark.slow
def test_who_asks_in_an_editor_need_not_type_a_command(paths: Paths, notes: Path) -> None:
    """The daemon has it forgotten, and the model in use made anew; everybody hears of it."""
    secret = notes / f"about {CANARY}"
    learned(paths, notes)
    watch(paths, notes)
    with connect(paths, *forgets()) as connection, raw(paths) as one:
        assert soon_knows(connection, RIVER)
        assert connection.status().model == Model(id="you-1", created=ANY, scores=ANY)
        assert connection.ask("forget", document=str(secret)) == {"forgetting": str(secret)}
        assert not knows(connection, RIVER)
        assert eventually(lambda: bool(children(paths, TRAINER)))
        [child] = children(paths, TRAINER)
        news = ended(one)
        assert news.forgotten == "forgotten; you-2 was made without it and is in use"
        assert (news.state, connection.status().model) == (
            "ready",
            Model(id="you-2", created=ANY, scores=ANY),
        )
        assert eventually(lambda: not lives(child))
        assert not knows(connection, RIVER)
        assert knows(connection, BRIDGE)
        assert eventually(lambda: not [*files_with(paths)]), [*files_with(paths)]
    assert not (paths.models / "you-1").exists()
    assert [entry.what for entry in ledger.read(paths).entries][-1] == "rebuilt"


@pytest.mark.slow
def test_a_forgetting_that_was_killed_is_finished_by_the_next_daemon(
    paths: Paths, notes: Path
) -> None:
    """Its child leaves with it."""
    secret = notes / f"about {CANARY}"
    learned(paths, notes)
    watch(paths, notes)
    with connect(paths, *quick()) as connection:
        connection.ask("forget", document=str(secret))
        assert eventually(lambda: bool(children(paths, TRAINER)))
        [child] = children(paths, TRAINER)
        os.kill(pid_of(paths), signal.SIGKILL)
    assert eventually(lambda: not lives(child), within_s=5)
    with connect(paths, *forgets()) as connection, raw(paths) as one:
        assert connection.status().state == "forgetting"
        assert "made without it and is in use" in ended(one).forgotten
        connection.ask("stop")
    assert eventually(lambda: not (paths.data / "endpoint.json").exists())
    assert not [*files_with(paths)]


def learned(paths: Paths, notes: Path) -> None:
    """A model of the user's, that has seen a short diary, and of which enough would be left."""
    (notes / f"about {CANARY}" / "diary.md").write_text(text_of(RIVER) + f"{CANARY} and I.\n" * 40)
    letters = [f"Dear Judy, the {n}th letter is of {n * 7} roses.\n" for n in range(400)]
    (notes / "letters.md").write_text("".join(letters))
    done = trainer(paths, "learn", str(notes), "--epochs", "0.2", "--threads", "1")
    assert done.returncode == 0, done.stderr


def forgets() -> tuple[str, ...]:
    """A daemon of which the child hurries: beside other work it could take minutes."""
    hurried = [part for part in trainee.FORGET if part != "--background"]
    return quick(trainee__FORGET=hurried, keeping__FORGET_S=0.05)


def ended(one: Raw) -> Changed:
    """The news of what came of it, as long as it takes."""
    one.socket.settimeout(PATIENCE_S)
    return next(m for m in one.hears() if isinstance(m, Changed) and m.forgotten)


def files_with(paths: Paths) -> Iterator[Path]:
    """Files of ours in which the canary is, or which have its name."""
    for path in paths.data.parent.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes() + str(path).encode()
        if any(trace in content for trace in TRACES):
            yield path


def traces(text: str) -> Iterator[bytes]:
    """What it may look like in a file; its ASCII part is enough."""
    yield from (text.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"))
    yield json.dumps(text).strip('"').encode()
    plain = text.partition("ä")[0]
    yield from (plain.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
    for n in range(3):  # wherever it begins in a group of three
        yield base64.b64encode(b" " * n + text.encode())[4:-4]


TRACES = [*traces(CANARY)]
