"""A regular file's bytes: without waiting, without following a link, no more than wanted.

Knows descriptors, and that a file may change or be another by now; knows nothing of folders, and of
text no more than that some files are none.
"""

import os
import stat

from afterword_trainer import formats
from afterword_trainer.skips import Skip

_N_HEAD = 8192  # bytes that tell text from the many large files that are none


def bytes_of(
    file: str, *, at_most: int, text_only: bool = False, listed: os.stat_result | None = None
) -> tuple[bytes, os.stat_result]:
    """All bytes of a regular file and its status, never waiting and never following a link.

    Where `listed` is given, only of the file of that status.

    Raises OSError, OverflowError for a file over the cap, and Skip.
    """
    # A pipe would wait for a writer, a link may have taken the file's place since it was found,
    # and a child process has no business with what we read.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Skip("special")
        if listed and (before.st_dev, before.st_ino) != (listed.st_dev, listed.st_ino):
            raise Skip("changed")
        if before.st_size > at_most:
            raise OverflowError
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(_N_HEAD)
            if text_only and formats.is_binary(data):
                raise Skip("binary")
            data += stream.read(at_most - len(data) + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if len(data) > at_most:
        raise OverflowError
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Skip("changed")
    return data, after
