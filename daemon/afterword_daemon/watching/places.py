"""Where a folder lies: on a disk that tells of every change, or on one that others write to; and
through which other folders its name leads there.

Knows links, and the table of mounts of Linux; elsewhere it takes every place for a disk.
"""

import os
from collections import deque
from collections.abc import Mapping
from typing import Final

MOUNTS: Final = "/proc/self/mountinfo"
# What is changed from elsewhere, without a word to the kernel here.
_SHARED: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "vboxsf", "virtiofs", "prl_fs")
)

_MOST_LINKS: Final = 40  # on one way; then it leads in a circle, as the system sees it


def way(path: str) -> Mapping[str, frozenset[str]]:
    """Each folder that an absolute `path` leads through, and the names in it that it goes by.

    A link is a name, and what it leads to goes on from there; what is not there yet is as it would
    be. Whatever happens to one of these names, `path` may be another folder then.
    """
    names: dict[str, set[str]] = {}
    at, n_links = "/", 0
    rest = deque(path.split("/"))
    while rest:
        name = rest.popleft()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)  # noqa: PTH120
            continue
        names.setdefault(at, set()).add(name)
        inner = os.path.join(at, name)  # noqa: PTH118
        try:
            target = os.readlink(inner)  # noqa: PTH115
        except OSError:  # no link, or not there
            at = inner
            continue
        n_links += 1
        if n_links > _MOST_LINKS:
            break
        rest.extendleft(reversed(target.split("/")))
        if target.startswith("/"):
            at = "/"
    return {folder: frozenset(some) for folder, some in names.items()}


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
