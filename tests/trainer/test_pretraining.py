"""`trainer pretrain`: a manifest in, a base model out, whatever happens in between."""

import json
import lzma
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import numpy as np
import pytest
from afterword_trainer import base, cli, durable
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.paths import Paths
from afterword_trainer.pretraining import PretrainingError, card
from afterword_trainer.pretraining import pretrain as job
from afterword_trainer.pretraining.pretrain import Pretrained, Request, Task
from afterword_trainer.run import Listener
from processes import TIMEOUT_S, Learning, Trainer, command, environment, read_until, records_of

SHAPE = ("--units", "8", "--layers", "1", "--embedding", "8")
# A precision that is measured may come out in another way the next time.
TINY = ("--precision", "float32", "--json")
Pretrain = Callable[..., Learning]
Ask = Callable[..., Pretrained]


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

    def run(
        out: str, *arguments: str, shape: tuple[str, ...] = SHAPE, **variables: str
    ) -> Learning:
        given = (str(corpus / "manifest.toml"), "--out", str(corpus.parent / out), *arguments)
        processes.append(
            subprocess.Popen(
                command("pretrain", *given, *shape, *TINY),
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
        trainer("learn", str(notes), "--epochs", "0.1", *SHAPE[:4], "--seed", seed)
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
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "ab"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": ["worker"], "index": 0}}',
        "[" * 100_000,
    ],
)
def test_a_tf_config_that_names_no_worker_is_refused(config: str) -> None:
    """Before anything is begun, in one sentence."""
    with pytest.raises(PretrainingError, match=r"^TF_CONFIG .*; set it"):
        Task.parse(config)


# -- what is refused ---------------------------------------------------------------------------


@pytest.fixture
def ask(home: Path, corpus: Path) -> Ask:
    """Ask for a base model in this process, which ends where the corpus would be read."""

    def run(**changes: Any) -> Pretrained:
        asked = {"manifest": corpus / "manifest.toml", "out": corpus.parent / "base", **changes}
        paths = Paths.from_environment({"AFTERWORD_HOME": str(home)})
        listener = Listener(show=lambda record: None, interrupted=lambda: True)
        try:
            return job.pretrain(Request(**asked), paths, listener)
        except KeyboardInterrupt:
            pytest.fail("it was not refused")

    return run


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"units": 0}, "there is no such network: units 0 .*; choose other"),
        ({"units": 9_000}, "there is no such network: units 9000 .*; choose other"),
        ({"layers": 8, "units": 4_000}, "weights take .*; use fewer"),
        ({"roots": [Path("nowhere")]}, "^nowhere: there is no such folder; name another --root"),
        ({"minutes": 1.0, "task": Task(index=0)}, "cannot keep to --minutes; say --symbols"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    change: dict[str, Any], says: str, ask: Ask, corpus: Path, home: Path
) -> None:
    """One sentence, its remedy, and nothing was made."""
    with pytest.raises((PretrainingError, BundleError), match=says):
        ask(**change)

    assert not (corpus.parent / "base").exists()
    assert not home.exists()


def test_a_refusal_is_an_error_and_a_hint(trainer: Trainer, corpus: Path) -> None:
    """On the terminal, with exit code 1."""
    told = trainer("pretrain", str(corpus / "manifest.toml"), "--out", str(corpus))

    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == (
        f"error: {corpus}: something is there already\n\n"
        "hint: name another --out, or move it away\n"
    )


@pytest.mark.parametrize(
    "arguments", [("--minutes", "0"), ("--minutes", "1e9"), ("--symbols", "1")]
)
def test_a_plan_that_cannot_be_is_wrong_usage(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the bounds."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["pretrain", "manifest.toml", "--out", "base", *arguments])

    assert ended.value.code == 2
    assert f"{arguments[1]!r} is not a number within" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("corpus", "something is there already"),
        ("corpus/manifest.toml", "something is there already"),
        ("link", "something is there already"),  # to nowhere
        ("new/../corpus", "something is there already"),
        ("corpus/manifest.toml/base", "it cannot be made there"),
        ("a" * 300, "it cannot be made there"),
    ],
)
def test_a_model_goes_where_nothing_is_and_something_can_be(
    out: str, says: str, ask: Ask, tmp_path: Path, corpus: Path
) -> None:
    """What lies there may be a model of two hours' work; nothing is left by the trial."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(PretrainingError, match=f"^{tmp_path / out}: {says}.*; name another --out"):
        ask(out=tmp_path / out)

    assert sorted(tmp_path.rglob("*")) == before


LEARNED = {"run": "1", "corpus": {"digest": "2"}}  # by `trainer learn`
CHINESE = Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 300))))


@pytest.mark.parametrize(
    ("model", "change", "says"),
    [
        (None, {}, "there is no model, so .*; name the folder"),
        ({"provenance": LEARNED}, {}, "did not come out of `trainer pretrain`.*; name one"),
        ({"alphabet": CHINESE}, {}, "names 300 characters .*; name another model"),
        ({}, {"units": 8, "cell": "gru"}, "LSTM 1 × 24 .*; leave out --cell, --units"),
    ],
)
def test_a_base_begins_with_nothing_but_a_base(
    model: dict[str, Any] | None, change: dict[str, Any], says: str, ask: Ask, tmp_path: Path
) -> None:
    """Somebody's own text would be in it; and its shape is its own."""
    start = tmp_path / "start" / base.MODEL
    if model is not None:
        bases.make(start.parent, **model)

    with pytest.raises(PretrainingError, match=f"^{start}: .*{says}"):
        ask(start=start, **change)


def test_a_file_is_no_model_to_begin_with(ask: Ask, corpus: Path) -> None:
    """Nor is a folder of other things, such as the one that --out named."""
    bases.make(corpus.parent / "out")
    for path in (corpus, corpus.parent / "out", corpus / "manifest.toml"):
        with pytest.raises(PretrainingError, match=f"^{path}.*; name the folder of a model"):
            ask(start=path)


def test_a_disk_that_is_nearly_full_is_told_of_at_once(
    ask: Ask, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the corpus is prepared, and with nothing left but the lock."""
    monkeypatch.setattr(job, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(durable.StateError, match=r"MB are free where .*; free some space"):
        ask()
    assert {path.name for path in (home / "cache/runs/pretraining").iterdir()} <= {"lock"}


def test_two_at_once_is_one_sentence(ask: Ask, home: Path) -> None:
    """It names the process that is at work, whose checkpoints stay as they are."""
    runs = home / "cache/runs/pretraining"
    with durable.locked(runs / "lock"):
        (runs / "corpus-0.tmp").touch()
        with pytest.raises(durable.LockedError, match=f"process {os.getpid()} is at work here"):
            ask()
        assert (runs / "corpus-0.tmp").exists()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "\x1ea.md\n \n", "\x1ea.md\nhello\n"])
def test_a_corpus_of_nothing_is_refused_and_not_kept(
    text: str, pretrain: Pretrain, corpus: Path, home: Path
) -> None:
    """Nothing could be learned of it but its alphabet."""
    (corpus / "notes.txt.xz").write_bytes(lzma.compress(text.encode()))
    process = pretrain("base")
    _, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 1
    assert "symbols are too little to learn from\n\nhint: name more or larger parts" in errors
    assert {path.name for path in (home / "cache/runs/pretraining").iterdir()} <= {"lock"}


def test_a_backend_that_is_none_is_one_sentence(pretrain: Pretrain) -> None:
    """Nor one that is not installed; Keras says which it wanted."""
    process = pretrain("base", KERAS_BACKEND="abacus")
    _, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 1
    assert "error: Keras cannot start" in errors
    assert "hint: unset KERAS_BACKEND" in errors


def test_only_the_command_enters_the_room() -> None:
    """What is there to make a base concerns nobody else, and costs no other command its import."""
    room = Path(job.__file__).parent
    others = [path for path in room.parent.rglob("*.py") if room not in path.parents]
    entering = [p.name for p in others if "afterword_trainer.pretraining" in p.read_text("utf-8")]
    assert sorted(entering) == ["commands.py", "teaching.py"]


# -- what is in the way, and what goes on ------------------------------------------------------


@pytest.mark.slow
def test_what_came_in_the_way_is_left_alone_and_the_work_is_kept(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    """Somebody put something where the model was to go; it goes elsewhere, without more work."""
    process = pretrain("late", "--symbols", "60000")
    read_until(process, "evaluated")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "test.txt").write_text("mine", encoding="utf-8")
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "something is there already" in errors
    assert [path.name for path in (tmp_path / "late").iterdir()] == ["test.txt"]
    assert (tmp_path / "late" / "test.txt").read_text(encoding="utf-8") == "mine"

    told = ended(pretrain("later", "--symbols", "60000"))
    assert told[0]["origin"] == "resumed"
    assert not [record for record in told if record["event"] == "stepped"]


@pytest.mark.slow
def test_a_base_goes_on_from_another_and_says_so(pretrain: Pretrain, tmp_path: Path) -> None:
    """Its shape and alphabet; weights that begin where the other ended; both told of."""
    ended(pretrain("first", "--symbols", "60000"))
    first = bundles.load(tmp_path / "first" / "tiny")
    # As the first bases were: they did not say that they began with chance.
    origin = {key: value for key, value in first.provenance.items() if key != "start"}
    start = bases.make(tmp_path, replace(first, provenance=origin)) / base.MODEL
    plan = ("--symbols", "30000", "--seed", "1", "--from", str(start))
    told = ended(pretrain("second", *plan, shape=()))

    assert told[0]["origin"] == "tiny"
    begun = next(record for record in told if record["event"] == "evaluated")
    chance = np.log2(first.spec.n_symbols)
    assert begun["heldout_bits"] < (chance + first.history[-1]["heldout_bits"]) / 2
    second = bundles.load(tmp_path / "second" / "tiny")
    assert second.alphabet == first.alphabet
    assert second.provenance["start"]["run"] == first.provenance["run"]
    assert "in 2 runs:" in card.write(second)
