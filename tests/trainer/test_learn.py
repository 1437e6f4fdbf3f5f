"""The main job through the command line: real files, a real network, a real shelf."""

import json
import signal
from pathlib import Path

import pytest
from processes import TIMEOUT_S, TINY, Start, Trainer, read_until, records_of

pytestmark = pytest.mark.slow


def test_learns_a_folder_and_writes(trainer: Trainer, notes: Path) -> None:
    """From files to a model in use, to text, to a report, to a score: the README's path."""
    learned = trainer("learn", str(notes), "--epochs", "40", "--units", "64", "--layers", "1")
    assert learned.returncode == 0, learned.stderr
    assert "you-1 is in use" in learned.stdout
    assert "word trigram" in learned.stdout
    assert "hint: trainer sample" in learned.stdout

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
    assert scores["model"] == "you-1"
    assert [row["name"] for row in scores["rows"]][:4] == ["mix", "frozen mix", "LSTM", "memory"]


def test_a_model_is_scored_as_on_the_first_day(
    trainer: Trainer, notes: Path, tmp_path: Path
) -> None:
    """With nothing learned besides, and only the rows that were asked for."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    (tmp_path / "nothing").mkdir()
    asked = ("--learned", str(tmp_path / "nothing"), "--rows", "buffer words", "--json")
    scores = json.loads(trainer("evaluate", str(notes), *asked, "--characters", "500").stdout)

    assert scores["learned_characters"] == 0
    assert [row["name"] for row in scores["rows"]] == ["mix", "buffer words"]
    assert len(scores["dial"]) >= 8


def test_any_prompt_is_continued(trainer: Trainer, notes: Path) -> None:
    """Nothing, emoji, NUL bytes, a megabyte; at any temperature; twice the same."""
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


def test_what_is_secret_is_not_learned(start: Start, notes: Path, home: Path) -> None:
    """The text that training reads holds the notes, and not the key that stood among them."""
    process = start(str(notes), "--epochs", "400", *TINY)
    read_until(process, "planned")
    text = (home / "cache/runs/text/text").read_bytes()
    assert b"What the boats are counted with" in text
    assert b"q8Zr4TnP0sXw7Lb2Vd9K" not in text


def test_prepared_text_and_checkpoint_go_and_the_log_holds_no_text(
    trainer: Trainer, notes: Path, home: Path
) -> None:
    """What a finished run leaves is a model."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    left = {path.name for path in (home / "cache" / "runs").iterdir()}
    assert left <= {"lock", "lock.pid"}
    log = (home / "logs" / "trainer.log").read_bytes()
    assert log  # TensorFlow always has something to say
    assert b"counted" not in log


def test_models_can_be_used_undone_exported_and_imported(
    trainer: Trainer, notes: Path, tmp_path: Path
) -> None:
    """Every change says its undo, and the undo works."""
    for seed in ("1", "2"):
        trainer("learn", str(notes), "--epochs", "1", *TINY[:-1], seed)

    def current() -> list[str]:
        return [m["id"] for m in records_of(trainer("models", "--json").stdout) if m["is_current"]]

    trainer("use", "you-2")  # which may be no better, after a moment of learning
    assert current() == ["you-2"]
    assert "you-1 is in use again" in trainer("rollback").stdout
    assert current() == ["you-1"]
    assert trainer("use", "you-2").returncode == 0
    file = tmp_path / "model.tar"
    assert trainer("export", str(file)).returncode == 0
    assert "you-3" in trainer("import", str(file)).stdout
    archive = file.read_bytes()
    for private in (b"we went to the river", b"What the boats", str(notes).encode()):
        assert private not in archive
    drawn = [trainer("sample", "--model", id, "--seed", "7").stdout for id in ("you-2", "you-3")]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("origin", ["scratch", "current"])
def test_ctrl_c_keeps_the_best_and_a_second_call_goes_on(
    trainer: Trainer, start: Start, notes: Path, origin: str
) -> None:
    """Exit code 130, a model on the shelf, and the run resumes from where it was."""
    if origin == "current":
        assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    arguments = (str(notes), "--epochs", "400", "--from", origin, *TINY)
    process = start(*arguments)
    first = read_until(process, "planned")[-1]
    read_until(process, "stepped")  # from a model that exists, the first look is before any step
    read_until(process, "evaluated")
    process.send_signal(signal.SIGINT)
    end = records_of(process.communicate(timeout=TIMEOUT_S)[0])[-1]
    assert process.returncode == 130
    assert (end["event"], end["id"], end["interrupted"]) == ("learned", first["model"], True)
    assert trainer("sample", "--chars", "5").returncode == 0

    process = start(*arguments)
    assert read_until(process, "planned")[-1]["origin"] == "resumed"
    assert read_until(process, "stepped")[-1]["share"] > 0.05


def test_sigkill_leaves_the_model_and_the_checkpoint(
    trainer: Trainer, start: Start, notes: Path, home: Path
) -> None:
    """The model that was there is still in use, and training goes on from the checkpoint."""
    assert trainer("learn", str(notes), "--epochs", "1", *TINY).returncode == 0
    arguments = (str(notes), "--epochs", "400", *TINY)
    process = start(*arguments)
    read_until(process, "evaluated")
    read_until(process, "evaluated")  # the checkpoint of the first is on the disk by now
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    assert list((home / "cache/runs").glob("checkpoint-*"))
    (model,) = records_of(trainer("models", "--json").stdout)
    assert (model["id"], model["is_current"], model["problem"]) == ("you-1", True, None)
    process = start(*arguments)
    assert read_until(process, "planned")[-1]["origin"] == "resumed"


def test_two_at_once_is_one_sentence(trainer: Trainer, start: Start, notes: Path) -> None:
    """The second names the first and goes; the first is not disturbed."""
    process = start(str(notes), "--epochs", "400", *TINY)
    read_until(process, "planned")
    second = trainer("learn", str(notes), "--epochs", "1", *TINY)
    assert (second.returncode, str(process.pid) in second.stderr) == (1, True)
    assert "Traceback" not in second.stderr
    assert process.poll() is None
