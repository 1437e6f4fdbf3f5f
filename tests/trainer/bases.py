"""A base model made on the spot: a network of a few units that knows nothing, and its test text."""

from pathlib import Path
from typing import Any

import numpy as np
from afterword_trainer import base
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.spec import NetworkSpec

TEST = "\x1enotes/one.md\nThe river rose.\n\x1esrc/two.py\nprint('é')\n"

# What `trainer pretrain` writes down of a model's origin.
ORIGIN: dict[str, Any] = {
    "start": None,
    "run": "5eed" * 16,
    "manifest": "a1b2" * 16,
    "seed": 3,
    "recipe": {"peak_rate": 0.004, "streams": 256, "window": 64},
    "epochs": 0.75,
    "symbols": 71_234_560,
    "seconds": 5_400.0,
    "precision": "bfloat16",
    "machine": {"processor": "abacus", "cores": "2"},
    "parts": [
        {
            "name": name,
            "source": "a library",
            "licences": licences,
            "documents": 12_345,
            "characters": 45_678_901,
            "characters_read": 34_567_890,
            "duplicates": 12,
            "secrets_removed": 7,
        }
        for name, licences in (("docs", ["MIT"]), ("code", ["a: MIT", "b: ISC", "c: Zlib"]))
    ],
    "overlap": {
        "words": 13,
        "tests": ["novel.txt"],
        "passages_of_tests": 98_765,
        "passages_compared": 87_654_321,
        "documents_dropped": 3,
        "characters_dropped": 4_321,
    },
    "test": {"bits_per_character": {"": 2.345, "docs": 2.123, "code": 2.987}, "documents": 2},
}


def bundle(id: str = base.ID, **changes: Any) -> Bundle:
    """A model whose weights are drawn at random; without a graph, so numpy serves it."""
    alphabet = changes.pop("alphabet", Alphabet("éß"))
    spec = NetworkSpec(n_symbols=alphabet.size, layers=1, units=24, embedding=16)
    draw = np.random.default_rng(0)
    parts: dict[str, Any] = {
        "id": id,
        "created": "2031-01-31T12:00:00Z",
        "spec": spec,
        "alphabet": alphabet,
        "weights": {
            name: draw.normal(0, 0.3, shape).astype(np.float32)
            for name, shape in spec.weight_shapes().items()
        },
        "scores": {"bits_per_character": 2.345},
        "provenance": ORIGIN,
    }
    return Bundle(**(parts | changes))


def make(folder: Path, model: Bundle | None = None, **changes: Any) -> Path:
    """A folder as `pretraining.pack` leaves it, of `model` or of one made now; `folder`."""
    (folder / base.MODEL).mkdir(parents=True)
    for name, data in bundles.pack(model or bundle(**changes), "float16").items():
        (folder / base.MODEL / name).write_bytes(data)
    (folder / base.TEST).write_text(TEST, encoding="utf-8")
    return folder
