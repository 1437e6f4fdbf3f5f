"""What a new model is measured against, and with what: learning, but for the training itself."""

import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bases
import numpy as np
import pytest
from afterword_trainer import candidate, finding, gate, learn, ledger, remembering
from afterword_trainer.model.bundle import Bundle, document
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Request
from afterword_trainer.registry import Registry
from afterword_trainer.remembering import Remembered
from afterword_trainer.run import Listener
from afterword_trainer.shelf import Shelf

SIZES = gate.Sizes(keystroke_characters=200)
# Words that nobody has written before, so that it matters what the network knows.
DRAWN = np.random.default_rng(0).choice([*string.ascii_letters], (4, 30, 9, 5))
PAGES = ["\n".join(" ".join("".join(word) for word in line) for line in page) for page in DRAWN]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pages."""
    pages = tmp_path / "pages"
    pages.mkdir()
    for n, page in enumerate(PAGES):
        (pages / f"{n}.md").write_text(page, encoding="utf-8")
    return pages


@pytest.fixture
def paths(home: Path) -> Paths:
    """A home with a base, whose network was drawn at random."""
    bases.make(home / "base")
    return Paths.from_environment(
        {"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home / "base")}
    )


# -- models ------------------------------------------------------------------------------------

RANDOM = bases.bundle()
RANDOM = replace(
    RANDOM,  # as a base comes from the disk, with half of the bits
    weights={name: np.float32(np.float16(weight)) for name, weight in RANDOM.weights.items()},
)


def with_letters(model: Bundle, *, hostile: bool = False) -> Bundle:
    """The same, told how frequent each letter is in the pages: it expects those far better.

    If it is `hostile`, to what they never use as well.
    """
    counts = Counter(model.alphabet.encode("".join(PAGES)).tolist())
    bias = np.full(model.alphabet.size, -25.0 if hostile else -5.0, np.float32)
    for symbol, n in counts.items():
        bias[symbol] = np.log(n / 1000)
    return replace(model, weights={**model.weights, "output.bias": bias})


def deaf(model: Bundle) -> Bundle:
    """The same, but that it listens to nothing."""
    weights = {
        name: weight if name == "output.bias" else 0 * weight
        for name, weight in model.weights.items()
    }
    return replace(model, weights=weights)


@dataclass
class Nothing:
    """What there is to say of a training that was none."""

    progress: Any = field(default_factory=lambda: SimpleNamespace(symbols=1, seconds=1.0))
    recipe: Any = None
    streams: int = 1
    window: int = 1


Learn = Callable[..., learn.Learned]


@pytest.fixture
def learning(folder: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Learn:
    """Learn the pages, where training comes out with `model`, after a run of a name."""

    def run(
        model: Bundle, work: Any = "updated", *, run: str = "run", listener: Listener | None = None
    ) -> learn.Learned:
        training = Nothing()
        training.recipe = Nothing(progress=None)
        run_ = SimpleNamespace(
            id=run,
            parent="base",
            checkpoint=paths.runs / "checkpoint-none",
            precision="float32",
            training=training,
        )
        trained = SimpleNamespace(run=run_, told=(), interrupted=False)
        monkeypatch.setattr(candidate, "train", lambda *_: (trained, RANDOM))
        monkeypatch.setattr(
            candidate, "export", lambda new_id, *_: replace(model, id=new_id, scores={})
        )
        # Both take seconds: scores for people, and keystrokes, of which a few are enough here.
        monkeypatch.setattr(learn, "_score", lambda *_: None)
        monkeypatch.setattr(gate, "Sizes", lambda: SIZES)
        request = Request(
            roots=[folder],
            rules=finding.Rules(),
            work=work,
            origin="current" if work == "updated" else "base",
        )
        act = learn.update if work == "updated" else learn.learn
        return act(request, paths, listener or Listener(show=lambda _: None))

    return run


def reasons(learned: learn.Learned) -> tuple[str, ...]:
    """Why it was refused; that it is in use exactly if it was not."""
    assert learned.verdict
    assert learned.active is learned.verdict.accepted
    return learned.verdict.reasons


# -- against what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (with_letters(RANDOM), ()),
        (RANDOM, ("bits",)),  # as the one in use
        (deaf(with_letters(RANDOM)), ("constant",)),  # far better, by its figures
        (with_letters(RANDOM, hostile=True), ("base",)),  # likewise
    ],
    ids=["better", "the same", "deaf", "forgetful"],
)
def test_what_goes_live_is_better_sound_and_still_knows_the_base(
    model: Bundle, expected: tuple[str, ...], learning: Learn, paths: Paths
) -> None:
    """And whatever was said of it is in the ledger; what was refused is nowhere else."""
    learned = learning(model)
    assert reasons(learned) == expected
    (entry,) = ledger.read(paths).entries
    assert learned.verdict
    assert entry.verdict == learned.verdict.sentence
    assert entry.what == ("rejected" if expected else "updated")
    serving, _ = Shelf(paths.models, paths.base).current()
    assert serving
    assert serving.id == ("base" if expected else "you-1")


@pytest.mark.parametrize(("work", "accepted"), [("updated", False), ("learned", True)])
def test_who_asks_for_a_model_gets_one_that_is_as_good(
    work: str, accepted: bool, learning: Learn
) -> None:
    """What replaces models unasked has to be better."""
    assert (reasons(learning(RANDOM, work)) == ()) is accepted


@pytest.mark.parametrize(("run", "accepted"), [("the same", True), ("another", False)])
def test_what_a_run_left_when_it_was_interrupted_is_no_rival_of_its_end(
    run: str, accepted: bool, learning: Learn, paths: Paths
) -> None:
    """The end is compared with what the run began with, and is no worse than that."""
    shelf = Shelf(paths.models, paths.base)
    far_better = replace(with_letters(RANDOM), id="you-1", provenance={"run": "the same"})
    shelf.use(shelf.publish(far_better))
    assert (reasons(learning(RANDOM, "learned", run=run)) == ()) is accepted


# -- on what, and with what --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_use_knows", "new_knows", "expected"),
    [
        (False, False, ()),
        (True, True, ()),
        (True, False, ("text", "bits")),  # nothing is left that would be fair
    ],
)
def test_no_text_is_fair_that_one_of_the_two_has_learned(
    in_use_knows: bool,
    new_knows: bool,
    expected: tuple[str, ...],
    learning: Learn,
    folder: Path,
    paths: Paths,
) -> None:
    """Files that the model in use has learned, and the new one has not, are not measured on."""
    registry = Registry.load(paths)
    rows = [registry.file(str(file)) for file in sorted(folder.iterdir())]
    registry.save()
    known = [document(f"an older version of {row.id}", id=row.id) for row in rows]
    shelf = Shelf(paths.models, paths.base)
    in_use = bases.bundle("you-1", documents=known if in_use_knows else [])
    shelf.use(shelf.publish(in_use))
    model = replace(with_letters(RANDOM), documents=known if new_knows else [])
    assert reasons(learning(model, "learned")) == expected


@pytest.mark.parametrize("watched", [True, False])
def test_both_are_measured_with_the_memory_that_serves(
    watched: bool, learning: Learn, folder: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the files if they are watched, and neither model has it for itself."""
    held = Memory(RANDOM.alphabet)
    elsewhere = str(folder / "0.md") if watched else "/elsewhere/0.md"
    held.learn(elsewhere, RANDOM.alphabet.encode("Some text."))
    kept = Remembered(memory=held, mixer=Mixer.default())
    remembering.save(remembering.path_of(paths), kept)
    figures: list[gate.Figures] = []
    measure = gate.measure

    def noted(*arguments: Any) -> gate.Figures:
        figures.append(measure(*arguments))
        return figures[-1]

    monkeypatch.setattr(gate, "measure", noted)
    told = learning(RANDOM)
    assert told.verdict
    assert ("with none of your files in the memory" in told.verdict.sentence) is not watched
    before, after = figures
    assert (before.bits == after.bits).all()  # the same network, and so the same memory
    # A memory that has seen the other pages expects their letters from the first line on.
    assert bool(before.bits[0] < 6.5) is watched


def test_who_does_not_wait_for_the_comparison_gets_no_new_model(
    learning: Learn, paths: Paths
) -> None:
    """Stopped in the middle of it: nothing goes live that was not measured to its end."""
    stopped: list[str] = []
    listener = Listener(
        show=lambda _: None,
        interrupted=lambda: bool(stopped),
        on_score=lambda name, _: stopped.append(name),
    )
    learned = learning(with_letters(RANDOM), listener=listener)
    assert {*stopped} == {"the model in use"}
    assert (learned.id, learned.verdict, learned.interrupted) == (None, None, True)
    assert ledger.read(paths).entries == ()
