"""The base model: in its place, on the shelf, in its card; and what starts from it."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import numpy as np
import pytest
from afterword_trainer import base, tuning
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import FIRST_CHARACTER, Alphabet
from afterword_trainer.model.bundle import (
    BundleCorruptError,
    BundleMissingError,
    without_excerpts,
)
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.step import NetworkPredictor, NumpyStep
from afterword_trainer.paths import SHIPPED_BASE
from afterword_trainer.pretraining import card
from afterword_trainer.pretraining.pack import pack
from afterword_trainer.shelf import Shelf, ShelfError
from hypothesis import given
from hypothesis import strategies as st
from processes import Trainer, records_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base model."""
    return bases.make(tmp_path / "base")


@pytest.fixture
def shelf(folder: Path, tmp_path: Path) -> Shelf:
    """Nothing on it but the base."""
    return Shelf(tmp_path / "models", folder)


def damage(folder: Path) -> None:
    """Flip a bit of the weights."""
    weights = folder / base.MODEL / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)


def in_use(shelf: Shelf) -> list[str]:
    """As `trainer models` shows it and as `trainer sample` takes it."""
    bundle, _ = shelf.current()
    marked = [entry.id for entry in shelf.entries() if entry.is_current]
    assert marked == ([bundle.id] if bundle else [])
    return marked


# -- in its place ------------------------------------------------------------------------------


def test_the_base_and_its_test_text_are_read(folder: Path) -> None:
    """Each document is behind its path, which tells its language."""
    assert base.load(folder).alphabet.characters == "éß"
    assert [(d.path, d.language, d.text) for d in base.documents(folder)] == [
        ("notes/one.md", "markdown", "The river rose.\n"),
        ("src/two.py", "python", "print('é')\n"),
    ]


def test_without_a_base_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    """A checkout that was never given one can do all else."""
    assert not base.exists(tmp_path)
    for ask in (base.load, base.documents):
        with pytest.raises(BundleMissingError, match=r"; install Afterword"):
            ask(tmp_path)


def test_a_damaged_base_asks_for_a_new_installation(folder: Path) -> None:
    """`trainer rollback`, which helps elsewhere, would not."""
    damage(folder)
    with pytest.raises(
        BundleCorruptError, match=r"weights\.bin is wrong.*; install Afterword again"
    ):
        base.load(folder)


# -- on the shelf ------------------------------------------------------------------------------


def test_before_anything_was_learned_the_base_is_in_use(shelf: Shelf) -> None:
    """It is listed like every other model, and nothing is written for it."""
    assert in_use(shelf) == ["base"]
    assert [(e.id, e.scores) for e in shelf.entries()] == [("base", {"bits_per_character": 2.345})]
    assert not shelf.root.exists()


def test_one_goes_back_to_the_base_and_no_further(shelf: Shelf) -> None:
    """It was in use before the first model of the user's own."""
    for id in ("you-1", "you-2"):
        shelf.use(shelf.publish(bases.bundle(id)))
    assert [shelf.rollback(), shelf.rollback()] == ["you-1", "base"]
    assert in_use(shelf) == ["base"]
    with pytest.raises(ShelfError, match="no earlier model"):
        shelf.rollback()


def test_the_base_is_used_like_any_other(shelf: Shelf) -> None:
    """`use base`, and undo it."""
    shelf.use(shelf.publish(bases.bundle("you-1")))
    shelf.use("base")
    assert in_use(shelf) == ["base"]
    assert shelf.rollback() == "you-1"
    assert in_use(shelf) == ["you-1"]


def test_the_base_cannot_be_removed_or_taken_the_name_of(shelf: Shelf) -> None:
    """What was made elsewhere gets a number; what ships stays."""
    assert shelf.publish(bases.bundle("base")) == "you-1"
    shelf.use("you-1")
    with pytest.raises(ShelfError, match="part of Afterword and stays"):
        shelf.remove("base")
    assert [entry.id for entry in shelf.entries()] == ["base", "you-1"]


def test_the_base_steps_in_for_a_damaged_model(shelf: Shelf) -> None:
    """Something always answers; what is damaged is set aside, but never the base itself."""
    shelf.use(shelf.publish(bases.bundle("you-1")))
    (shelf.root / "you-1" / "weights.bin").unlink()
    bundle, notice = shelf.current()
    assert (bundle.id if bundle else None, notice) == (
        "base",
        "you-1 cannot be used (weights.bin is missing); base is in use instead",
    )
    assert in_use(shelf) == ["base"]


def test_a_damaged_base_leaves_the_users_models_alone(shelf: Shelf, folder: Path) -> None:
    """They are served, the list tells what is wrong, and nothing of the package is renamed."""
    shelf.use(shelf.publish(bases.bundle("you-1")))
    shelf.use("base")
    damage(folder)
    bundle, notice = shelf.current()
    assert bundle
    assert bundle.id == "you-1"
    assert "base cannot be used" in str(notice)
    assert "checksum" in str(shelf.entries()[0].problem)
    assert base.exists(folder)


def test_the_base_can_be_exported(shelf: Shelf, tmp_path: Path) -> None:
    """And comes back as a model among others."""
    shelf.export("base", tmp_path / "base.tar")
    assert shelf.import_(tmp_path / "base.tar") == "you-1"


# -- put into the package ----------------------------------------------------------------------


def exported(folder: Path) -> Path:
    """What `trainer pretrain --out` leaves: a model with all it knows, and the test text."""
    model = folder / "afterword"
    model.mkdir(parents=True)
    graphs = {n: b"\x1c\0\0\0TFL3" for n in (1, 8)}
    made = bases.bundle("afterword", graphs=graphs, history=[{"event": "noticed", "sample": "ab"}])
    for name, data in bundles.pack(made).items():
        (model / name).write_bytes(data)
    (folder / base.TEST).write_text(bases.TEST, encoding="utf-8")
    return folder


def test_an_exported_model_becomes_the_base(tmp_path: Path) -> None:
    """Half the bytes of its weights, one graph, no excerpt, a card; and again over the first."""
    into = tmp_path / "package" / "base"
    for name in ("one", "two"):
        made = pack(exported(tmp_path / name), into)
        found = base.load(into)
        assert (found.id, [*found.graphs], found.history[0]["sample"]) == ("base", [1], "")
        assert found.weights.keys() == made.weights.keys()
        sizes = json.loads((into / base.MODEL / "manifest.json").read_bytes())["files"]
        assert sizes["weights.bin"]["size"] == 2 * found.spec.n_parameters()
        assert (into / base.CARD).read_text(encoding="utf-8") == card.write(found)
        assert len(base.documents(into)) == 2


def test_a_folder_without_one_model_is_refused(tmp_path: Path) -> None:
    """Nothing in the package is touched."""
    into = bases.make(tmp_path / "package")
    with pytest.raises(BundleMissingError, match="0 models, not one"):
        pack(tmp_path, into)
    assert base.exists(into)


def test_the_card_tells_all_figures_and_types_none() -> None:
    """Each number of the model's origin stands in it, and changes with it."""
    text = card.write(bases.bundle())
    for figure in (
        "45,678,901",
        "71,234,560",
        "1.50 hours",
        "0.75 passes",
        "| peak rate | 0.004 |",
        "abacus",
        "4,321",
        "98,765",
        "| docs | 2.123 |",
        "| all | 2.345 |",
        "b: ISC",
    ):
        assert figure in text
    other = bases.bundle(provenance=bases.ORIGIN | {"symbols": 1_000})
    assert "71,234,560" not in card.write(other)


def passed_on(**changes: Any) -> dict[str, Any]:
    """What is known of a run that made what another began with."""
    keys = ("start", "run", "manifest", "seed", "symbols", "seconds", "parts", "overlap")
    return {key: bases.ORIGIN[key] for key in keys} | {"run": "f1f2" * 16} | changes


LETTERS = [bases.ORIGIN["parts"][0] | {"name": "letters", "documents": 777}]


@pytest.mark.parametrize(
    ("start", "told", "untold"),
    [
        (passed_on(), ["f1f2f1f2f1f2 had made of the same texts"], ["another manifest"]),
        (passed_on(seed=9), ["| f1f2f1f2f1f2 | 71,234,560 | 1.50 | 9 |"], ["letters"]),
        (passed_on(parts=LETTERS), ["had made of these:", "| letters |", "| 777 |"], ["same"]),
        (
            passed_on(overlap=bases.ORIGIN["overlap"] | {"documents_dropped": 888}),
            ["888 documents that share", "3 documents that share"],
            [],
        ),
        # As the first such bases have it, which did not pass their parts on.
        (passed_on(parts=None), ["had made of the same texts"], []),
        (
            {key: v for key, v in passed_on(manifest="c3d4" * 16).items() if key != "parts"},
            ["the parts of another manifest, SHA-256 c3d4c3d4c3d4"],
            ["same texts"],
        ),
    ],
)
def test_the_card_of_a_base_that_began_with_another_tells_of_both(
    start: dict[str, Any], told: list[str], untold: list[str]
) -> None:
    """Symbols and hours together; what the first read, where that was something else."""
    text = card.write(bases.bundle(provenance=bases.ORIGIN | {"start": start}))
    for words in ("142,469,120 symbols in 3.00 hours, in 2 runs", "1.50 hours, 0.75 passes", *told):
        assert words in text
    for words in untold:
        assert words not in text


def test_the_card_goes_back_to_the_first_run() -> None:
    """However many began with one another."""
    start = passed_on(start=passed_on(run="0ld0" * 16, symbols=5, parts=None), parts=None)
    text = card.write(bases.bundle(provenance=bases.ORIGIN | {"start": start}))
    assert "142,469,125 symbols in 4.50 hours, in 3 runs" in text
    assert "Run f1f2f1f2f1f2 began with what run 0ld00ld00ld0 had made" in text
    assert text.index("| 0ld00ld00ld0 |") < text.index("| f1f2f1f2f1f2 |")


def test_a_model_without_an_origin_has_no_card() -> None:
    """Better than a card with gaps."""
    with pytest.raises(BundleCorruptError, match="does not tell how it was made"):
        card.write(bases.bundle(provenance={}))


@pytest.mark.skipif(not base.exists(SHIPPED_BASE), reason="this checkout has no base model yet")
def test_the_base_that_ships_is_whole_small_and_described() -> None:
    """At most 16 MB; its card says what its bundle says; it quotes nobody."""
    found = base.load(SHIPPED_BASE)
    assert (SHIPPED_BASE / base.CARD).read_text(encoding="utf-8") == card.write(found)
    assert found.provenance == without_excerpts(found).provenance
    assert [*found.graphs] == [1]
    assert sum(len(d.text) for d in base.documents(SHIPPED_BASE)) >= 100_000
    files = [path for path in SHIPPED_BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= base.MAX_BYTES


# -- more symbols ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "text", "expected"),
    [
        ("", "é" * 50, "é"),
        ("", "é" * 49, ""),
        ("é", "é" * 50 + "ü" * 60 + "ö" * 70, "éöü"),  # behind it, the most frequent first
        ("éß", "a" * 100, "éß"),
    ],
)
def test_an_alphabet_grows_at_its_end(known: str, text: str, expected: str) -> None:
    """No id changes; rare characters go on being spelled in bytes."""
    assert Alphabet(known).extended(Counter(text)).characters == expected


new_characters = st.sets(
    st.characters(min_codepoint=0x80, exclude_characters="éß"), min_size=1, max_size=40
)


@given(new_characters, st.text(max_size=20))
def test_growing_leaves_the_old_symbols_their_chances(new: set[str], text: str) -> None:
    """But for what the new ones take, a 64th of their first bytes' each; exactly in proportion."""
    small = bases.bundle()
    alphabet = Alphabet(small.alphabet.characters + "".join(sorted(new)))
    weights = tuning.grown(small.weights, small.alphabet, alphabet)
    spec = replace(small.spec, n_symbols=alphabet.size)
    before, after = (
        NetworkPredictor(NumpyStep(of, with_))
        for of, with_ in ((small.spec, small.weights), (spec, weights))
    )
    old = small.alphabet.encode(text.translate(dict.fromkeys(map(ord, new))) + ".")
    for predictor in (before, after):
        prime(predictor, old)
    then, now = before.distribution(), after.distribution()
    taken = now[small.alphabet.size :].sum()
    firsts = [character.encode("utf-8", "surrogatepass")[0] for character in new]
    assert taken <= sum(then[first] for first in firsts) / 64
    np.testing.assert_allclose(now[: small.alphabet.size], then * (1 - taken), rtol=1e-4)


def test_a_new_character_costs_no_more_than_its_bytes_did() -> None:
    """So the first step of fine-tuning starts from no worse than before."""
    small = bases.bundle()
    alphabet = Alphabet("éß日本語")
    weights = tuning.grown(small.weights, small.alphabet, alphabet)
    spec = replace(small.spec, n_symbols=alphabet.size)
    costs = []
    for step, symbols in (
        (NumpyStep(small.spec, small.weights), small.alphabet.encode("日本語" * 20)),
        (NumpyStep(spec, weights), alphabet.encode("日本語" * 20)),
    ):
        predictor, bits = NetworkPredictor(step), 0.0
        for symbol, following in zip(symbols.tolist(), symbols.tolist()[1:], strict=False):
            predictor.observe(symbol)
            bits -= float(np.log2(predictor.distribution()[following]))
        costs.append(bits)
    assert costs[1] < costs[0]


def test_an_alphabet_that_was_changed_is_refused() -> None:
    """Weights of one character would become another's."""
    small = bases.bundle()
    with pytest.raises(ValueError, match="grows at its end"):
        tuning.grown(small.weights, small.alphabet, Alphabet("ßé"))
    assert small.alphabet.size == FIRST_CHARACTER + 2


# -- through the command line ------------------------------------------------------------------


def test_everything_is_there_before_anything_was_learned(trainer: Trainer, home: Path) -> None:
    """The first thing somebody tries answers."""
    bases.make(home / "base")
    (model,) = records_of(trainer("models", "--json").stdout)
    assert (model["id"], model["is_current"]) == ("base", True)
    written = trainer("sample", "--prompt", "The ", "--chars", "8")
    assert (written.returncode, written.stderr) == (0, "")
    refused = trainer("remove", "base")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "hint: `trainer use` another one" in refused.stderr


@pytest.mark.slow
def test_the_base_is_scored_and_shown(trainer: Trainer, notes: Path, home: Path) -> None:
    """`evaluate` and `report` ask it as they ask any model."""
    bases.make(home / "base")
    scores = json.loads(trainer("evaluate", str(notes), "--characters", "300", "--json").stdout)
    assert scores["model"] == "base"
    page = Path(trainer("report").stdout.strip()).read_text(encoding="utf-8")
    assert "base" in page


@pytest.mark.slow
def test_learning_starts_from_the_base(trainer: Trainer, notes: Path, home: Path) -> None:
    """Its shape, its alphabet and the user's; what it knew is measured; `rollback` undoes it."""
    bases.make(home / "base")
    (notes / "new.md").write_text("Grüße aus Łódź, 東京.\n" * 60, encoding="utf-8")
    told = records_of(trainer("learn", str(notes), "--epochs", "1", "--json").stdout)
    planned, first = told[0], next(r for r in told if r["event"] == "evaluated")
    assert (planned["origin"], planned["cell"], planned["units"]) == ("base", "lstm", 24)
    assert planned["n_symbols"] == bases.bundle().alphabet.size + len("üŁóź東京")
    assert first["share"] == 0  # the base itself, so that only better is kept
    (kept,) = [r for r in told if r["event"] == "base_bits"]
    assert kept["before"] > 0
    assert kept["after"] > 0
    assert told[-1]["previous"] == "base"
    assert trainer("use", told[-1]["id"]).returncode == 0  # after one pass it may be no better
    assert told[-1]["base_bits"]["after"] == kept["after"]
    assert "base is in use again" in trainer("rollback").stdout

    current = records_of(
        trainer("learn", str(notes), "--epochs", "1", "--from", "current", "--json").stdout
    )
    assert current[0]["origin"] == "base"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--units", "16"), "the base model is LSTM 1 × 24 and another shape was asked for"),
        (("--cell", "gru"), "so this starts from scratch"),
        (("--from", "scratch", "--layers", "1"), None),
    ],
)
def test_another_shape_starts_from_scratch_and_says_so(
    trainer: Trainer, notes: Path, home: Path, options: tuple[str, ...], said: str | None
) -> None:
    """In one line; asked for by name, it needs no explanation."""
    bases.make(home / "base")
    told = records_of(trainer("learn", str(notes), "--epochs", "0.1", *options, "--json").stdout)
    assert told[0]["origin"] == "scratch"
    notices = [record["message"] for record in told if record["event"] == "noticed"]
    assert (said is None) == (not notices)
    assert said is None or said in notices[0]
