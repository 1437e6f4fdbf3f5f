"""What was typed, checked: paths that exist, files that may be written, rules of reading.

Knows options and the file system; knows nothing of what a command does with them.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from afterword_trainer import finding


class UsageError(Exception):
    """An option has a value that cannot be."""


def check_target(path: Path, *, may_replace: bool) -> None:
    """Raises UsageError for a file that cannot be written there, or should not be."""
    if not path.name or not path.parent.is_dir():
        raise UsageError(f"{path}: there is no such folder; make it, or name another")
    if os.path.lexists(path) and not (may_replace and path.is_file() and not path.is_symlink()):
        raise UsageError(f"{path}: there is something already; choose another name")


def check_paths(paths: Sequence[Path]) -> None:
    """Raises UsageError for one that does not exist: most often it is mistyped."""
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: there is no such file or folder; check the spelling")


def rules(options: argparse.Namespace) -> finding.Rules:
    """How the files of a command are to be read."""
    return finding.Rules(mail=options.mail, pdf=options.pdf, ignore=tuple(options.ignore))
