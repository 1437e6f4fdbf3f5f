"""The main job through the command line: real files, a real network, a real shelf."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from processes import TINY, Trainer, command, environment

pytestmark = pytest.mark.slow


def records_of(output: str) -> list[dict[str, Any]]:
    """The lines of `--json`, every one of them an object."""
    return [json.loads(line) for line in output.splitlines()]


def test_learns_a_folder_and_writes(trainer: Trainer, notes: Path) -> None:
    """From files to a model in use, to text, to a report, to a score: the README's path."""
    learned = trainer("learn", str(notes), "--epochs", "40", "--units", "64", "--layers", "1")
    assert learned.returncode == 0, learned.stderr
    assert "you-1:" in learned.stdout
    assert "word trigram" in learned.stdout
    assert "trainer rollback" in learned.stdout

    sample = trainer("sample", "--prompt", "On day 3 we", "--greedy", "--chars", "40")
    assert sample.stdout.startswith("On day 3 we")
    assert "boats" in sample.stdout or "river" in sample.stdout
    again = trainer("sample", "--prompt", "On day 3 we", "--greedy", "--chars", "40")
    assert sample.stdout == again.stdout

    report = trainer("report")
    page = Path(report.stdout.strip()).read_text(encoding="utf-8")
    assert "<svg" in page
    assert "you-1" in page

    scores = json.loads(trainer("evaluate", str(notes), "--json").stdout)
    assert scores["documents_known"] == 0
    assert abs(scores["int8_bits"] - scores["float32_bits"]) < 0.05
    assert scores["rows"][0]["name"] == "you-1"


def test_any_prompt_is_continued(trainer: Trainer, notes: Path) -> None:
    """Nothing, emoji, NUL bytes, broken UTF-8, a megabyte; any temperature; always the same."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    for prompt in ("", "\U0001f469\u200d\U0001f680 ß 漢字", "a\x00b\x1b[31m", "word " * 200_000):
        for temperature in ("0", "0.7", "2"):
            asked = ("sample", "--prompt", "-", "--temperature", temperature, "--chars", "8")
            results = [trainer(*asked, "--json", stdin=prompt) for _ in range(2)]
            assert [result.stderr for result in results] == ["", ""]
            (found,) = records_of(results[0].stdout)
            assert found["prompt"] == prompt
            assert len(found["text"]) <= 8
            assert results[0].stdout == results[1].stdout
    assert trainer("sample", "--temperature", "2.1").returncode == 1
    counted = records_of(trainer("sample", "--count", "3", "--json", "--chars", "30").stdout)
    assert len({found["text"] for found in counted}) == 3


def test_json_is_json_and_nothing_else(trainer: Trainer, notes: Path) -> None:
    """A program reads the plan, the looks at held-out text and what came of it."""
    told = records_of(trainer("learn", str(notes), "--epochs", "1", "--json", *TINY).stdout)
    assert [told[0]["event"], told[-2]["event"], told[-1]["event"]] == [
        "planned",
        "finished",
        "learned",
    ]
    assert told[0]["files_skipped"] == 1
    assert told[0]["secrets_removed"] == 1
    assert told[-1]["id"] == "you-1"


def test_what_is_secret_is_not_learned(trainer: Trainer, notes: Path, home: Path) -> None:
    """The key is nowhere in what learning leaves on the disk."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    for path in home.rglob("*"):
        if path.is_file():
            assert b"q8Zr4TnP0sXw7Lb2Vd9K" not in path.read_bytes(), path


def test_nothing_of_the_text_is_left_when_learning_is_done(
    trainer: Trainer, notes: Path, home: Path
) -> None:
    """The prepared text and the checkpoint are gone; logs hold none of it."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    left = [path.name for path in (home / "cache" / "runs").iterdir() if path.suffix != ".pid"]
    assert left in ([], ["lock"])
    for path in (home / "logs").rglob("*"):
        assert b"counted" not in path.read_bytes()


def test_models_can_be_used_undone_exported_and_imported(
    trainer: Trainer, notes: Path, tmp_path: Path
) -> None:
    """Every change says its undo, and the undo works."""
    for seed in ("1", "2"):
        trainer("learn", str(notes), "--epochs", "1", *TINY[:-1], seed)

    def current() -> list[str]:
        return [m["id"] for m in records_of(trainer("models", "--json").stdout) if m["is_current"]]

    assert current() == ["you-2"]
    assert "you-1 is in use again" in trainer("rollback").stdout
    assert current() == ["you-1"]
    assert trainer("use", "you-2").returncode == 0
    file = tmp_path / "model.tar"
    assert trainer("export", str(file)).returncode == 0
    assert "you-3" in trainer("import", str(file)).stdout
    drawn = [trainer("sample", "--model", id, "--seed", "7").stdout for id in ("you-2", "you-3")]
    assert drawn[0] == drawn[1]


def start(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`trainer learn --json` in a session of its own, its records on standard output."""
    return subprocess.Popen(
        command("learn", *arguments, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(home),
    )


def read_until(process: "subprocess.Popen[str]", event: str) -> list[dict[str, Any]]:
    """Records up to the first `event`."""
    assert process.stdout
    told = []
    for line in process.stdout:
        told.append(json.loads(line))
        if told[-1]["event"] == event:
            return told
    raise AssertionError(f"no {event} among {[record['event'] for record in told]}")


def test_ctrl_c_keeps_the_best_and_a_second_call_goes_on(
    trainer: Trainer, notes: Path, home: Path
) -> None:
    """Exit code 130, a model on the shelf, and the run resumes from where it was."""
    arguments = (str(notes), "--epochs", "400", *TINY)
    process = start(home, *arguments)
    read_until(process, "evaluated")
    process.send_signal(signal.SIGINT)
    told = records_of(process.communicate()[0])
    assert process.returncode == 130
    assert told[-1] == {**told[-1], "event": "learned", "id": "you-1", "interrupted": True}
    assert trainer("sample", "--chars", "5").returncode == 0

    process = start(home, *arguments)
    planned = read_until(process, "planned")[-1]
    assert planned["origin"] == "resumed"
    stepped = read_until(process, "stepped")[-1]
    assert stepped["share"] > 0.05
    process.kill()
    process.communicate()


def test_sigkill_leaves_the_model_and_the_checkpoint(
    trainer: Trainer, notes: Path, home: Path
) -> None:
    """The model that was there is still in use, and training goes on from the checkpoint."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    arguments = (str(notes), "--epochs", "400", *TINY)
    process = start(home, *arguments)
    read_until(process, "evaluated")
    while not (home / "cache/runs/checkpoint").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (model,) = records_of(trainer("models", "--json").stdout)
    assert (model["id"], model["is_current"], model["problem"]) == ("you-1", True, None)
    process = start(home, *arguments)
    assert read_until(process, "planned")[-1]["origin"] == "resumed"
    process.kill()
    process.communicate()


def test_two_at_once_is_one_sentence(trainer: Trainer, notes: Path, home: Path) -> None:
    """The second names the first and goes; the first is not disturbed."""
    process = start(home, str(notes), "--epochs", "400", *TINY)
    read_until(process, "planned")
    second = trainer("learn", str(notes), "--epochs", "1", *TINY)
    assert (second.returncode, str(process.pid) in second.stderr) == (1, True)
    assert "Traceback" not in second.stderr
    assert process.poll() is None
    process.kill()
    process.communicate()
