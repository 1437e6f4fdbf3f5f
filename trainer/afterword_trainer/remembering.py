"""The memory on disk: written in one move, with a checksum; read back whole or not at all.

What is damaged is only a convenience lost: the memory is built anew from the documents.
"""

import hashlib
from collections.abc import Collection
from itertools import chain
from pathlib import Path

import numpy as np

from afterword_trainer import durable
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import AT_MOST_BYTES, Memory, MemoryDamagedError
from afterword_trainer.model.mixing import Mixer

MAGIC = b"afterword memory 1\n"
_DIGEST_BYTES = 32


def save(path: Path, memory: Memory, mixer: Mixer, *, without: Collection[str] = ()) -> None:
    """Replace what is at `path`; `without` some documents, such as those that are open, unsaved.

    Those are taken out of a copy, which takes as many bytes again; the memory itself is left as it
    is. Raises durable.StateError; what was there before then remains. To save in another thread
    than the one that types, give it `memory.copy(without=...)` and `mixer.copy()`.
    """
    if any(memory.holds(key) for key in without):
        memory = memory.copy(without=without)
    values = mixer.values.astype("<f4").tobytes()
    digest = hashlib.sha256()
    with durable.writer(path) as file:
        # One array at a time: a memory may take a quarter of a gigabyte.
        for data in chain((MAGIC, b"%d\n" % len(values), values), memory.dump()):
            digest.update(data)
            file.write(data)
        file.write(digest.digest())


def load(
    path: Path, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES
) -> tuple[Memory, Mixer] | None:
    """What was saved at `path`; None if there is none, or it is damaged, or of another alphabet."""
    try:
        data = memoryview(durable.read(path, at_most=2 * at_most_bytes))
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if body[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != digest:
            return None
        size, _, _ = bytes(body[len(MAGIC) : len(MAGIC) + 32]).partition(b"\n")
        at = len(MAGIC) + len(size) + 1
        values = np.frombuffer(body[at : at + int(size)], "<f4")
        mixer = Mixer(values)
        memory = Memory.restored(body[at + int(size) :], alphabet, at_most_bytes=at_most_bytes)
    except (durable.StateError, MemoryDamagedError, ValueError):
        return None
    return memory, mixer
