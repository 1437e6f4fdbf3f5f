"""JSON files that carry their own checksum, so that a flipped bit or an edit anywhere is found.

For state where a damaged answer would do harm. Knows bytes and values; knows nothing of what they
mean.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afterword_trainer import durable


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file at `path`. Raises durable.StateError; what was there then remains."""
    durable.replace(path, _with_checksum(value))


def read(path: Path, *, at_most: int) -> dict[str, Any] | None:
    """The value that was written; None if there is no file.

    Raises durable.DamagedError for bytes that `write` did not write, durable.StateError.
    """
    try:
        data = durable.read(path, at_most=at_most)
    except durable.StateError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    try:
        value = json.loads(data)
        del value["sha256"]
        if _with_checksum(value) == data:
            return dict(value)
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    raise durable.DamagedError(f"{path}: its checksum is wrong, so it was damaged or edited")


def _with_checksum(value: Mapping[str, Any]) -> bytes:
    body = json.dumps(value, separators=(",", ":"))
    checksum = hashlib.sha256(body.encode()).hexdigest()
    return f'{body[:-1]},"sha256":"{checksum}"}}\n'.encode()
