"""The memory on disk: written in one move, with a checksum; read back whole or not at all.

One that is damaged counts as none, and is built anew from the documents. Knows memory, mixer and
bytes; knows nothing of documents, or of who learns them.
"""

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from afterword_trainer import durable
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import AT_MOST_BYTES, Memory, MemoryDamagedError
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.paths import Paths

MAGIC = b"afterword memory 2\n"
_DIGEST_BYTES = 32
_HEADER = re.compile(rb"([0-9]{1,9}) ([0-9a-f]{16})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A memory, and the mixer that has learned what it is worth."""

    memory: Memory
    mixer: Mixer
    # Which one it is: whoever feeds it keeps in mind what this one has got, and not another.
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def copy(self) -> "Remembered":
        """The same for another thread, or to be stored; takes as many bytes again."""
        return replace(self, memory=self.memory.copy(), mixer=self.mixer.copy())


def path_of(paths: Paths) -> Path:
    """Where the memory of a daemon is kept."""
    return paths.data / "memory"


def save(path: Path, remembered: Remembered) -> None:
    """Replace what is at `path`. Raises durable.StateError; what was there before then remains.

    Nothing may change it meanwhile. To save in another thread than the one that types, or without
    the documents that are open, unsaved, give it a copy.
    """
    values = remembered.mixer.values.astype("<f4").tobytes()
    header = f"{len(values)} {remembered.id}\n".encode()
    digest = hashlib.sha256()
    with durable.writer(path) as file:
        # One array at a time: a memory may take a quarter of a gigabyte.
        for data in chain((MAGIC, header, values), remembered.memory.dump()):
            digest.update(data)
            file.write(data)
        file.write(digest.digest())


def load_or_set_aside(
    path: Path, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES
) -> Remembered | None:
    """As `load`, for whoever owns the file: one that is of no use is out of the way afterwards."""
    found = load(path, alphabet, at_most_bytes=at_most_bytes)
    if found is None and os.path.lexists(path):
        with suppress(durable.StateError):
            durable.set_aside(path)
    return found


def load(
    path: Path, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES
) -> Remembered | None:
    """What was saved at `path`; None if there is none, or it is damaged, or of another alphabet."""
    try:
        data = memoryview(durable.read(path, at_most=2 * at_most_bytes))
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if body[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != digest:
            return None
        header = _HEADER.match(body, len(MAGIC))
        if header is None:
            return None
        begin = header.end()
        end = begin + int(header[1])
        mixer = Mixer(np.frombuffer(body[begin:end], "<f4"))
        memory = Memory.restored(body[end:], alphabet, at_most_bytes=at_most_bytes)
    except (durable.StateError, MemoryDamagedError, ValueError):
        return None
    return Remembered(memory=memory, mixer=mixer, id=header[2].decode())
