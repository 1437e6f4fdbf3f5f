"""What is forgotten is gone at once, from everywhere, and does not come back.

`trainer forget` beside a daemon that runs; what it does to models is tested with the trainer.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from afterword_trainer import remembering
from afterword_trainer.paths import Paths
from daemons import connect, eventually
from household import (
    BRIDGE,
    MEADOW,
    RIVER,
    knows,
    quick,
    soon_knows,
    text_of,
    trainer,
    watch,
)

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
    looks = {"server__REFRESH_S": 0.0, "server__LOOK_S": 1e6, "keeping__FORGET_S": 0.05}
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
