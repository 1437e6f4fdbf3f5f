"""A checkpoint of training: arrays and a few numbers in one file, so that a kill loses little.

The file replaces the one before it in one move; its last bytes are the SHA-256 of the others.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from afterword_trainer import durable, records
from afterword_trainer.records import Record
from afterword_trainer.training import Arrays, Progress

MAGIC = b"afterword checkpoint 1\n"
AT_MOST = 1 << 29  # bytes; four arrays for each weight of the largest bundle take half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is needed to go on."""

    run: str  # identifies the corpus and the settings; a checkpoint of another run is of no use
    parent: str | None  # the model that the run started from
    precision: str  # of its matrix products; going on in another one would be another run
    progress: Progress
    records: Sequence[Record]  # what training has said so far
    arrays: Arrays


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at `path`. Raises durable.StateError; the one before it remains."""
    header = json.dumps(
        {
            "run": checkpoint.run,
            "parent": checkpoint.parent,
            "precision": checkpoint.precision,
            "progress": asdict(checkpoint.progress),
            "records": [records.to_json(record) for record in checkpoint.records],
            "arrays": [
                [name, array.dtype.str, list(array.shape)]
                for name, array in checkpoint.arrays.items()
            ],
        }
    ).encode()
    digest = hashlib.sha256()
    with durable.writer(path) as file:
        arrays = (np.ascontiguousarray(array) for array in checkpoint.arrays.values())
        for data in (MAGIC, b"%d\n" % len(header), header, *(a.tobytes() for a in arrays)):
            digest.update(data)
            file.write(data)
        file.write(digest.digest())


def load(path: Path, run: str) -> Checkpoint | None:
    """The checkpoint of `run` at `path`; None if there is none, or it is damaged, or of another."""
    return parse(read(path), run)


def read(path: Path) -> bytes:
    """What `parse` takes; nothing if there is no checkpoint."""
    try:
        return durable.read(path, at_most=AT_MOST)
    except durable.StateError:
        return b""


def parse(data: bytes, run: str) -> Checkpoint | None:
    """The checkpoint of `run`; None if it is none, or damaged, or of another.

    A checkpoint saves minutes and is no more than a convenience: whatever is wrong with it,
    training starts afresh.
    """
    try:
        body, digest = data[:-32], data[-32:]
        if not body.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
            return None
        size, _, rest = body[len(MAGIC) :].partition(b"\n")
        header = json.loads(rest[: int(size)])
        if header["run"] != run:
            return None
        at, arrays = int(size), {}
        for name, dtype, shape in header["arrays"]:
            array = np.frombuffer(rest, dtype, int(np.prod(shape)), at).reshape(shape)
            arrays[name] = array
            at += array.nbytes
        return Checkpoint(
            run=run,
            parent=header["parent"],
            precision=header["precision"],
            progress=Progress(**header["progress"]),
            records=[records.from_json(value) for value in header["records"]],
            arrays=arrays,
        )
    except (ValueError, KeyError, TypeError):
        return None
