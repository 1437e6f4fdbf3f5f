"""`trainer pretrain`: a manifest in, a base model out, whatever happens in between."""

import json
import lzma
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from afterword_trainer.manifest import ManifestError
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.pretraining import Task
from processes import TIMEOUT_S, Learning, command, environment, read_until, records_of

SHAPE = ("--units", "8", "--layers", "1")
# A precision that is measured may come out in another way the next time.
TINY = (*SHAPE, "--embedding", "8", "--precision", "float32", "--json")
Pretrain = Callable[..., Learning]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with a manifest and one archive; twenty thousand characters."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    documents = [
        f"\x1enotes/{number}.md\nOn day {number} we counted {number * 7} boats on the river.\n"
        for number in range(400)
    ]
    (folder / "notes.txt.xz").write_bytes(lzma.compress("".join(documents).encode()))
    (folder / "manifest.toml").write_text(
        'name = "tiny"\n[[parts]]\nname = "notes"\narchive = "notes.txt.xz"\nlicence = "CC0-1.0"\n'
        'source = "this test"\ntest = ["*"]\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def pretrain(home: Path, corpus: Path) -> Iterator[Pretrain]:
    """Start `trainer pretrain --json` on the corpus; it does not outlive the test."""
    processes: list[Learning] = []

    def run(out: str, *arguments: str, **variables: str) -> Learning:
        given = (str(corpus / "manifest.toml"), "--out", str(corpus.parent / out), *arguments)
        processes.append(
            subprocess.Popen(
                command("pretrain", *given, *TINY),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(home) | variables,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def ended(process: Learning) -> list[dict[str, Any]]:
    """Its records, once it has ended well."""
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    return records_of(output)


def assert_same_weights(one: Bundle, other: Bundle, *, within: float = 0.0) -> None:
    for name, weight in one.weights.items():
        assert np.abs(weight - other.weights[name]).max() <= within, name


@pytest.mark.slow
def test_a_manifest_becomes_a_model_that_tells_its_origin(
    pretrain: Pretrain, tmp_path: Path, home: Path
) -> None:
    """Weights, a test text beside them, scores, parts and licences; and nothing is left over."""
    *_, finished, made = ended(pretrain("base", "--symbols", "30000"))

    assert finished["reason"] == "planned"
    assert made["folder"] == str(tmp_path / "base" / "tiny")
    bundle = bundles.load(tmp_path / "base" / "tiny")
    assert (bundle.id, bundle.spec.units, list(bundle.graphs)) == ("tiny", 8, [1])
    told = bundle.provenance
    assert told["test"]["bits_per_character"]["notes"] == pytest.approx(
        bundle.scores["bits_per_character"]
    )
    assert told["parts"][0]["licences"] == ["CC0-1.0"]
    assert told["overlap"]["documents_dropped"] == 0
    assert told["symbols"] >= 30_000
    assert (tmp_path / "base" / "test.txt").read_text(encoding="utf-8").startswith("\x1enotes/")
    left = {path.name for path in (home / "cache" / "runs" / "pretraining").iterdir()}
    assert left <= {"lock", "lock.pid"}


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    """SIGKILL once a checkpoint is on the disk, then the same call, twice; weights to the bit."""
    plan = ("--symbols", "120000")
    ended(pretrain("whole", *plan))
    for _ in range(2):
        process = pretrain("killed", *plan)
        read_until(process, "evaluated")
        read_until(process, "evaluated")
        process.kill()
        process.communicate(timeout=TIMEOUT_S)
    told = ended(pretrain("killed", *plan))

    assert told[0]["origin"] == "resumed"
    whole, killed = (bundles.load(tmp_path / name / "tiny") for name in ("whole", "killed"))
    assert_same_weights(whole, killed)
    assert whole.scores == killed.scores


@pytest.mark.slow
def test_ctrl_c_keeps_the_work_and_learning_does_not_sweep_it_away(
    pretrain: Pretrain, trainer: Any, notes: Path, home: Path
) -> None:
    """Exit code 130, a checkpoint apart from those of `learn`, and the run resumes."""
    process = pretrain("base", "--symbols", "4000000")
    read_until(process, "stepped")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, errors
    assert records_of(output)[-1]["interrupted"]

    for seed in "1234":
        trainer("learn", str(notes), "--epochs", "0.1", *SHAPE, "--seed", seed)
    process = pretrain("base", "--symbols", "4000000")
    assert read_until(process, "planned")[-1]["origin"] == "resumed"


@pytest.mark.slow
def test_two_workers_make_the_run_of_one(pretrain: Pretrain, tmp_path: Path) -> None:
    """Half of the streams each, gradients averaged; the chief alone writes, one killed too."""

    def two(out: str) -> list[Learning]:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in (one, other)]
        cluster = {"worker": workers}
        return [
            pretrain(
                out,
                "--symbols",
                "60000",
                TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}),
            )
            for i in (0, 1)
        ]

    # 1) one worker is killed: the other ends in one sentence, or is ended
    chief, helper = two("two")
    read_until(chief, "evaluated")
    read_until(chief, "evaluated")
    for process in (helper, chief):
        process.kill()
        process.communicate(timeout=TIMEOUT_S)

    # 2) both go on from the chief's checkpoint
    chief, helper = two("two")
    told = [ended(process) for process in (chief, helper)]
    assert [records[0]["origin"] for records in told] == ["resumed", "resumed"]
    assert [records[-1]["folder"] for records in told] == [str(tmp_path / "two" / "tiny"), None]

    # 3) the same as on one machine, but for the order of sums
    ended(pretrain("one", "--symbols", "60000"))
    one, together = (bundles.load(tmp_path / name / "tiny") for name in ("one", "two"))
    assert_same_weights(one, together, within=1e-3)


@pytest.mark.parametrize(
    ("config", "index"),
    [
        ({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}, 1),
        (
            {
                "cluster": {"chief": ["c:1"], "worker": ["a:1"]},
                "task": {"type": "chief", "index": 0},
            },
            0,
        ),
        (
            {
                "cluster": {"chief": ["c:1"], "worker": ["a:1"]},
                "task": {"type": "worker", "index": 0},
            },
            1,
        ),
    ],
)
def test_a_task_is_numbered_with_the_chief_first(config: Any, index: int) -> None:
    """As tf.distribute numbers them."""
    assert Task.parse(json.dumps(config)).index == index


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_that_names_no_worker_is_refused(config: str) -> None:
    """Before anything is begun, in one sentence."""
    with pytest.raises(ManifestError, match=r"^TF_CONFIG .*; set it"):
        Task.parse(config)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--units", "0"], "there is no such network"),
        (["--units", "9000"], "there is no such network"),
        (["--layers", "8", "--units", "4000"], "weights take"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    change: list[str], says: str, corpus: Path, trainer: Any, home: Path
) -> None:
    """One sentence, its remedy, and nothing was made."""
    out = corpus.parent / "base"
    told = trainer("pretrain", str(corpus / "manifest.toml"), "--out", str(out), *change)

    assert told.returncode == 1
    assert told.stderr.startswith("error: ")
    assert says in told.stderr
    assert "\nhint: " in told.stderr
    assert not out.exists()
    assert not (home / "cache").exists()


def test_a_folder_that_is_there_is_never_written_over(corpus: Path, trainer: Any) -> None:
    """It may hold a model of two hours' work."""
    told = trainer("pretrain", str(corpus / "manifest.toml"), "--out", str(corpus))

    assert told.returncode == 1
    assert "something is there already" in told.stderr


@pytest.mark.slow
def test_a_base_goes_on_from_another_and_says_so(pretrain: Pretrain, tmp_path: Path) -> None:
    """Its shape and alphabet; weights that begin where the other ended; both told of."""
    ended(pretrain("first", "--symbols", "60000"))
    first = bundles.load(tmp_path / "first" / "tiny")
    told = ended(
        pretrain(
            "second",
            "--symbols",
            "30000",
            "--seed",
            "1",
            "--from",
            str(tmp_path / "first" / "tiny"),
        )
    )

    assert told[0]["origin"] == "tiny"
    begun = next(record for record in told if record["event"] == "evaluated")
    chance = np.log2(first.spec.n_symbols)
    assert begun["heldout_bits"] < (chance + first.history[-1]["heldout_bits"]) / 2
    second = bundles.load(tmp_path / "second" / "tiny")
    assert second.alphabet == first.alphabet
    assert second.provenance["start"]["run"] == first.provenance["run"]
