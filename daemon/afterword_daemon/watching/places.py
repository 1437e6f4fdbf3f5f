"""Where a folder lies: on a disk that tells of every change, or on one that others write to.

Knows the table of mounts of Linux; elsewhere it takes every place for a disk.
"""

import os
from typing import Final

MOUNTS: Final = "/proc/self/mountinfo"
# What is changed from elsewhere, without a word to the kernel here.
_SHARED: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "vboxsf", "virtiofs", "prl_fs")
)


def shared(folder: str, mounts: str = MOUNTS) -> str | None:
    """The kind of file system that others may change, where `folder` lies on one."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
            kinds = dict(map(_mount, table))
    except (OSError, LookupError):
        return None
    place = os.path.realpath(folder)
    while place not in kinds and place != os.path.dirname(place):  # noqa: PTH120
        place = os.path.dirname(place)  # noqa: PTH120
    kind = kinds.get(place, "")
    return kind if kind in _SHARED or kind.startswith("fuse.") else None


def _mount(line: str) -> tuple[str, str]:
    """Where it is mounted, and its kind; the last of those that share a place is on top."""
    before, _, after = line.partition(" - ")
    place = before.split(" ")[4]
    for code in ("040", "011", "012", "134"):  # blanks and the like are written as octal
        place = place.replace(f"\\{code}", chr(int(code, 8)))
    return place, after.split(" ")[0]
