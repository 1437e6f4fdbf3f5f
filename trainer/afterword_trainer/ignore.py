"""What in a folder is not its owner's own writing: ignore files, and what tools leave behind.

Knows names, patterns and the first lines of a text; opens no file and walks no folder.
An ignore file can only narrow what is read: its negations undo its own patterns and those of the
same kind above it, never the defaults of this module.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from pathspec import GitIgnoreSpec

from afterword_trainer.language import is_prose

# What a file or folder holds instead of its owner's writing.
Foreign = Literal["hidden", "dependencies", "build", "lock-file", "generated", "data"]

GIT, OURS = ".gitignore", ".afterwordignore"
OPT_OUT_FILE = ".nolearn"  # a file of this name in a folder: nothing below it is learned
LONGEST_LINE = 10_000  # characters; nobody types longer ones, and rules for secrets end here


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns in force in one folder, from the outermost ignore file to the innermost."""

    _layers: tuple[tuple[str, str, GitIgnoreSpec], ...] = ()  # kind, folder with "/", patterns

    def within(self, folder: str, kind: str, lines: Iterable[str]) -> "Ignore":
        """These patterns and those of an ignore file of this kind in `folder`, an absolute path."""
        patterns = [line for line in lines if _is_sound(line)]
        if not patterns:
            return self
        spec = GitIgnoreSpec.from_lines(patterns)
        return Ignore((*self._layers, (kind, folder.rstrip("/") + "/", spec)))

    def without(self, kind: str) -> "Ignore":
        """The same without the files of one kind."""
        return Ignore(tuple(layer for layer in self._layers if layer[0] != kind))

    def excludes(self, path: str, *, is_folder: bool) -> str | None:
        """The kind of ignore file that excludes `path`, an absolute one; None if none does.

        Of two patterns in files of one kind, the innermost and latest decides. The caller asks
        for each folder on the way first, and does not enter what is excluded, as git does.
        """
        asked = path + "/" if is_folder else path
        for asked_kind in (GIT, OURS):
            for kind, folder, spec in reversed(self._layers):
                if kind != asked_kind or not path.startswith(folder):
                    continue
                decision = _decision(spec, asked[len(folder) :])
                if decision:
                    return kind
                if decision is False:
                    break
        return None


def _decision(spec: GitIgnoreSpec, asked: str) -> bool | None:
    """Whether the last pattern that is about `asked` excludes it; None if there is none.

    The library also lets a pattern speak for all that is in a folder, which is what a plain list
    of files needs. We ask for the folders themselves, and "*", "!*/", "!*.md" only means what
    git takes it to mean if "!*/" is silent on the files in them.
    """
    for pattern in reversed(spec.patterns):
        if pattern.regex is None:
            continue
        for match in pattern.regex.finditer(asked):
            # The library's only group is the slash after a folder's name that it recognised.
            end = match.end(match.lastindex or 0)
            if pattern.regex.groups:
                is_about_it = end == len(asked)
            else:  # "folder/**" is about all that is in the folder, not about itself
                is_about_it = not (end == len(asked) and match[0].endswith("/"))
            if is_about_it:
                return pattern.include
    return None


def _is_sound(line: str) -> bool:
    """Whether the pattern compiles; git passes over broken ones without a word, so do we."""
    if not line.strip() or line.startswith("#"):
        return False
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


# --- folders -------------------------------------------------------------------------------------

_DEPENDENCIES = frozenset(
    (
        "node_modules",
        "bower_components",
        "jspm_packages",
        "site-packages",
        "dist-packages",
        "Pods",
        "Carthage",
    )
)
_CACHES = frozenset(("__pycache__", "DerivedData", "htmlcov", "__MACOSX", "$RECYCLE.BIN"))
# Words that people also name folders of their own with: build outputs only beside a project's file.
_OUTPUTS = frozenset(("build", "dist", "out", "target", "obj", "coverage", "_build"))
_VENDORED = frozenset(("vendor", "third_party"))
_PROJECT = re.compile(
    r"package\.json|Cargo\.toml|pyproject\.toml|setup\.py|pom\.xml|build\.gradle.*|CMakeLists\.txt"
    r"|Makefile|go\.mod|composer\.json|Gemfile|mix\.exs|build\.sbt|meson\.build|.*\.(?:csproj|sln)"
    r"|tsconfig\.json|conf\.py|dune-project|stack\.yaml|deps\.edn|pubspec\.yaml"
)


def is_project(names: Collection[str]) -> bool:
    """Whether a folder that holds these names is one that a build tool works in."""
    return any(map(_PROJECT.fullmatch, names))


def foreign_folder(name: str, *, in_project: bool) -> Foreign | None:
    """What a folder of this name holds instead of its owner's writing; None if it may be that."""
    if name.startswith("."):
        return "hidden"
    if name in _DEPENDENCIES or (in_project and name in _VENDORED):
        return "dependencies"
    if name in _CACHES or name.endswith(".egg-info") or (in_project and name in _OUTPUTS):
        return "build"
    return None


def foreign_contents(names: Collection[str]) -> Foreign | None:
    """The same by what the folder holds: marks that tools leave for tools like us."""
    if "pyvenv.cfg" in names or "conda-meta" in names:
        return "dependencies"
    return "build" if "CACHEDIR.TAG" in names else None


# --- files ---------------------------------------------------------------------------------------

_LOCK = re.compile(
    r".*\.lock|.*[.-]lock\.(?:json|ya?ml)|npm-shrinkwrap\.json|go\.sum|.*\.lockb|gradle\.lockfile"
    r"|pixi\.lock|cpanfile\.snapshot|packages\.lock\.json|Package\.resolved"
)
_GENERATED = re.compile(
    r".*[.-]min\.(?:js|css|mjs)|.*\.(?:map|pb\.go|g\.dart|freezed\.dart|designer\.cs|snap|po|pot)"
    r"|.*_pb2(?:_grpc)?\.pyi?|.*\.generated\..*|.*\.bundle\.js|.*~|.*\.(?:orig|rej|bak|swp)"
)
_DATA = re.compile(
    r".*\.(?:csv|tsv|jsonl|ndjson|geojson|log|svg|rtf|ps|eps|srt|vtt|ics|vcf|bibtex-cache|aux|toc"
    r"|bbl|fls|fdb_latexmk|synctex|out|lof|lot|idx|ind)"
)

_FILES: dict[Foreign, re.Pattern[str]] = {
    "lock-file": _LOCK,
    "generated": _GENERATED,
    "data": _DATA,
}


def foreign_file(name: str) -> Foreign | None:
    """What a file of this name holds instead of its owner's writing; None if it may be that."""
    if name.startswith("."):
        return "hidden"
    return next((kind for kind, pattern in _FILES.items() if pattern.fullmatch(name)), None)


# --- texts ---------------------------------------------------------------------------------------

_N_HEAD = 2000  # characters in which a generator or an owner speaks up
_COMMENT = r"^[ \t]*(?:#|//|/\*|\*|--|;|%|<!--|\"\"\"|rem\b|dnl\b).*"
_SAYS_GENERATED = re.compile(
    _COMMENT + r"(?:generated (?:by|from|with|using|automatically)|auto-?generated|@generated)"
    r"|" + _COMMENT + r"(?:do not (?:edit|modify)|edits will be (?:lost|overwritten))",
    re.IGNORECASE | re.MULTILINE,
)
_PROSE_GENERATED = re.compile(
    r"\bgenerated\b.{0,200}\bdo not (?:edit|modify)|@generated", re.IGNORECASE | re.DOTALL
)
# Wherever a mode line may stand: in a comment, in front matter, on a line of its own.
_OPT_OUT = re.compile(r"\bafterword:[^\S\n]*nolearn\b", re.IGNORECASE)


def is_generated(text: str, language: str) -> bool:
    """Whether a program says in the first lines that it wrote this, or lines are a program's.

    Prose may well speak of what is generated, so there both halves of the usual warning count.
    """
    head = "\n".join(text[:_N_HEAD].split("\n")[:10])
    if is_prose(language):
        return _PROSE_GENERATED.search(head) is not None
    if _SAYS_GENERATED.search(head):
        return True
    # Minified: people break lines of code well before 200 characters, programs need not.
    return len(text) > _N_HEAD and len(text) / (text.count("\n") + 1) > 200


def opts_out(text: str) -> bool:
    """Whether the owner says so in one of the first or last five lines, save blank ones at the end.

    A paragraph may be one long line, of which the beginning counts.
    """
    lines = text.split("\n", 5)[:5] + text.rstrip().rsplit("\n", 5)[-5:]
    return any(_OPT_OUT.search(line[:_N_HEAD]) for line in lines)
