"""Going on with what is new: through the command line, as the daemon starts it."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bases
import psutil
import pytest
from afterword_trainer import background, durable, ledger, remembering
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.paths import Paths
from afterword_trainer.remembering import Remembered
from afterword_trainer.shelf import Shelf
from processes import (
    TIMEOUT_S,
    TINY,
    Learning,
    Trainer,
    command,
    environment,
    read_until,
    records_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def learned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with notes, and a home whose model has learned them for a moment, from a base."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "notes").mkdir()
    for number in range(6):
        text = "".join(f"On day {number} we counted {n * n} boats.\n" for n in range(60))
        path = folder / "notes" / f"day-{number}.md"
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    bases.make(folder / "home" / "base")
    asked = ("learn", str(folder / "notes"), "--epochs", "1", "--threads", "1", "--seed", "1")
    for arguments in (asked, ("use", "you-1")):
        subprocess.run(
            command(*arguments),
            env=environment(folder / "home"),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    return folder


@pytest.fixture
def trained(learned_once: Path, tmp_path: Path, home: Path) -> Path:
    """A copy of that: the notes, beside the test's own home."""
    shutil.copytree(learned_once / "home", home)
    shutil.copytree(learned_once / "notes", tmp_path / "notes")
    return tmp_path / "notes"


def add(notes: Path, number: int, text: str) -> None:
    """A file newer than all others."""
    path = notes / f"new-{number}.md"
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1_800_000_000 + number, 1_800_000_000 + number))


def letters(n_lines: int) -> str:
    """Text that is new, and much alike."""
    return "".join(
        f"Dear Judy, the {n}th letter is of gardens, and of {n * 7} roses.\n"
        for n in range(n_lines)
    )


def entries(home: Path) -> list[ledger.Entry]:
    """The ledger."""
    return list(ledger.read(Paths.from_environment({"AFTERWORD_HOME": str(home)})).entries)


def in_use(trainer: Trainer) -> list[str]:
    """The model in use."""
    return [m["id"] for m in records_of(trainer("models", "--json").stdout) if m["is_current"]]


def test_too_little_is_told_in_figures(trainer: Trainer, home: Path, tmp_path: Path) -> None:
    """How much there is, and how much there has to be; nothing happens."""
    bases.make(home / "base")
    shelf = Shelf(home / "data/models", home / "base")
    shelf.use(shelf.publish(bases.bundle("you-1")))
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "page.md").write_text("Hardly a page.\n" * 10, encoding="utf-8")
    told = trainer("update", str(folder))
    assert (told.returncode, told.stderr) == (0, "")
    assert "150 characters are new, and 1,000 are the least; you-1 is in use" in told.stdout


def remember(home: Path, folder: Path) -> None:
    """Have the memory hold the files of a folder, as the daemon has that watches it."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(home)})
    bundle, _ = Shelf(paths.models, paths.base).current()
    assert bundle
    memory = Memory(bundle.alphabet)
    for file in sorted(folder.rglob("*.md")):
        memory.learn(str(file), bundle.alphabet.encode(file.read_text()))
    kept = Remembered(memory=memory, mixer=Mixer.default())
    remembering.save(remembering.path_of(paths), kept)


def test_what_is_new_is_learned_if_that_makes_it_better(
    trainer: Trainer, trained: Path, home: Path
) -> None:
    """Whatever the gate says is told, done and written down; and then there is nothing new."""
    add(trained, 1, letters(300))
    remember(home, trained)
    told = records_of(trainer("update", str(trained), "--symbols", "300000", "--json").stdout)
    assert [told[0]["event"], told[-1]["event"]] == ["planned", "updated"]
    end = told[-1]
    assert end["n_new"] > 10_000
    last = entries(home)[-1]
    verdict = end["verdict"]
    assert verdict["accepted"]
    assert (end["id"], end["active"], in_use(trainer)) == ("you-2", True, ["you-2"])
    assert (last.what, last.model, last.parent) == ("updated", "you-2", "you-1")
    assert last.before is not None
    assert last.after is not None
    assert last.after.bits_per_character == verdict["after"]["bits_per_character"]
    assert (last.after.bits_per_character or 9) < (last.before.bits_per_character or 0)
    assert not (home / "cache/runs/text").exists()

    again = trainer("update", str(trained))
    assert (again.returncode, "nothing new to learn" in again.stdout) == (0, True)
    assert entries(home)[-1] == last
    assert trainer("rollback").returncode == 0
    assert in_use(trainer) == ["you-1"]


@pytest.mark.parametrize(
    "poison",
    ["a" * 400_000, "".join(f"{n * 2654435761 % 2**32:032x}\n" for n in range(9_000))],
    ids=["one letter", "random numbers"],
)
def test_a_poisoned_folder_costs_nothing(
    poison: str, trainer: Trainer, trained: Path, home: Path
) -> None:
    """Rejected, or no worse than it was on what the user writes."""
    add(trained, 1, "\n".join(poison[at : at + 60] for at in range(0, len(poison), 60)))
    add(trained, 2, letters(40))
    end = trainer("update", str(trained), "--symbols", "100000", "--json")
    assert end.returncode == 0, end.stderr
    told = records_of(end.stdout)[-1]
    verdict = told["verdict"]
    if verdict is None:  # it was all left out as no text of anybody's
        assert told["id"] is None
    elif verdict["accepted"]:
        before, after = (verdict[when]["bits_per_character"] for when in ("before", "after"))
        assert after <= before + 0.02
    else:
        assert in_use(trainer) == ["you-1"]
        assert entries(home)[-1].what == "rejected"


def test_nothing_to_go_on_from_is_one_sentence(trainer: Trainer, notes: Path) -> None:
    """Before anything was learned, where there is no base."""
    found = trainer("update", str(notes))
    assert (found.returncode, "there is no current model" in found.stderr) == (1, True)


@pytest.fixture
def updating(trained: Path, home: Path) -> Iterator[Learning]:
    """`trainer update --background` as the daemon starts it, in the midst of it."""
    add(trained, 1, letters(300))
    process = subprocess.Popen(
        command(
            *("update", str(trained), "--symbols", "20000000", "--background", "--json"),
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(home),
    )
    read_until(process, "stepped")
    yield process
    process.kill()
    process.communicate(timeout=TIMEOUT_S)


def test_in_the_background_it_steps_back(updating: Learning) -> None:
    """Lowest priority for all of its threads, idle scheduling, first to go for want of memory."""
    if not Path("/proc/self/task").exists():
        pytest.skip("the kernel is not Linux")
    for task in Path(f"/proc/{updating.pid}/task").iterdir():
        assert os.sched_getscheduler(int(task.name)) == os.SCHED_IDLE
        assert os.getpriority(os.PRIO_PROCESS, int(task.name)) == 19
    assert Path(f"/proc/{updating.pid}/oom_score_adj").read_text().strip() == "500"


def test_ctrl_c_leaves_what_was_in_use_and_goes_on_later(
    updating: Learning, trained: Path, trainer: Trainer, home: Path
) -> None:
    """Nobody waits for an update: nothing is published, and the checkpoint is kept."""
    before = entries(home)
    updating.send_signal(signal.SIGTERM)
    end = records_of(updating.communicate(timeout=TIMEOUT_S)[0])[-1]
    assert (updating.returncode, end["interrupted"], end["id"]) == (130, True, None)
    assert in_use(trainer) == ["you-1"]
    assert entries(home) == before
    told = subprocess.Popen(
        command("update", str(trained), "--symbols", "20000000", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(home),
    )
    try:
        assert read_until(told, "planned")[-1]["origin"] == "resumed"
    finally:
        told.kill()
        told.communicate(timeout=TIMEOUT_S)


def test_where_somebody_else_trains_it_gives_way(trained: Path, home: Path) -> None:
    """With the code for: later; to a person it is an error, since nothing was done."""

    def update(*how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command("update", str(trained), *how),
            stdin=subprocess.DEVNULL,  # a pipe that ends would be a reason to leave too
            capture_output=True,
            text=True,
            env=environment(home),
            timeout=TIMEOUT_S,
            check=False,
        )

    with durable.locked(home / "cache/runs/lock"):
        told = [update(), update("--background")]
    assert [each.returncode for each in told] == [1, background.LEFT]
    assert ["is at work here" in each.stderr for each in told] == [True, True]


def test_it_ends_with_whoever_started_it(trained: Path, home: Path) -> None:
    """Killed with no warning, the starter leaves no orphan."""
    add(trained, 1, letters(300))
    update = command("update", str(trained), "--symbols", "20000000", "--background", "--json")
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({update!r}, stdin=0, stdout=subprocess.PIPE, text=True)\n"
        "for line in child.stdout:\n"
        "    if '\"stepped\"' in line:\n"
        "        print(child.pid, flush=True)\n"
    )
    starter = subprocess.Popen(
        [command()[0], "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(home),
    )
    assert starter.stdout
    child = int(starter.stdout.readline())
    starter.kill()
    starter.communicate(timeout=TIMEOUT_S)
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


# Before and after the model is on the shelf, and before the line in the ledger is.
@pytest.mark.parametrize("point", ["publish.after_folder", "publish.done", "append.after_write"])
def test_a_kill_at_any_step_leaves_a_sound_model(
    point: str, trainer: Trainer, trained: Path, home: Path
) -> None:
    """The old one or the new one is in use, and the same command ends what was begun."""
    add(trained, 1, letters(60))
    asked = command("update", str(trained), "--symbols", "60000", "--json")
    killed = subprocess.run(
        asked,
        env=environment(home) | {"AFTERWORD_FAILPOINT": f"{point}:kill"},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert killed.returncode in (-signal.SIGKILL, 0)
    (current,) = in_use(trainer)
    assert trainer("sample", "--model", current, "--chars", "5").returncode == 0
    assert trainer("update", str(trained), "--symbols", "60000").returncode == 0
    assert trainer("sample", "--chars", "5").returncode == 0
    paths = Paths.from_environment({"AFTERWORD_HOME": str(home)})
    assert json.loads(durable.read(paths.data / "learned.json", at_most=10**6))["files"]


def test_learning_is_what_it_says_it_is(trainer: Trainer, notes: Path, home: Path) -> None:
    """A person's order is measured too: what is not surely better is kept, and not put to use."""
    bases.make(home / "base")
    first: dict[str, Any] = {}
    for units in ("64", "2"):
        arguments = ("--from", "scratch", "--units", units, "--layers", "1", *TINY[-2:])
        learned = trainer("learn", str(notes), "--epochs", "30", *arguments)
        assert learned.returncode == 0, learned.stderr
        first[units] = learned.stdout
    # No better, or not surely: a kilobyte of text leaves much to chance.
    assert "better than the one in use" in first["2"]
    assert "hint: trainer use you-2" in first["2"]
    assert in_use(trainer) != ["you-2"]
    assert entries(home)[-1].what == "rejected"
