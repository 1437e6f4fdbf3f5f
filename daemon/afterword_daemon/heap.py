"""How the C library deals with memory that nobody uses any more.

Knows glibc's own switches; elsewhere it does nothing, and says nothing. Knows nothing of what the
memory is for.
"""

import ctypes
from contextlib import suppress
from typing import Final

# Blocks of this size have pages of their own, which go back as soon as they are freed. It is where
# glibc begins; but it moves on to the size of whatever was freed, and then a copy of the memory,
# made to be stored, leaves 20 MB of holes that nothing else fills.
LEAST_BLOCK: Final = 128 << 10  # bytes
# Heaps of threads. One for each, as it is by default, keeps what each of them once had; and we have
# one thread that is at work, seldom two.
MOST_HEAPS: Final = 1

_MMAP_THRESHOLD: Final = -3  # as in malloc.h
_ARENA_MAX: Final = -8


def keep_little() -> None:
    """Have it keep as little as it can; to be called before there are threads."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LEAST_BLOCK)
        library.mallopt(_ARENA_MAX, MOST_HEAPS)


def give_back() -> None:
    """Have it return what is unused between what is used."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
