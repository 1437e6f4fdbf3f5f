"""The parts of a manifest as documents: archives, folders, installed packages, one at a time.

Knows where texts lie, under which licence a package stands, and what is left out; knows nothing
of symbols or networks.
"""

import hashlib
import json
import lzma
import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

from afterword_trainer import corpus, finding, ignore, secrets
from afterword_trainer.language import TEXT, is_prose, language_of
from afterword_trainer.pretraining import PretrainingError
from afterword_trainer.pretraining.manifest import Part

RECORD = "\x1e"  # begins the line that begins a document of an archive; its path follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A part whose place was found."""

    part: Part
    paths: Sequence[tuple[Path, str]]  # of its archive, folder or packages; the name of each
    licences: Sequence[str]  # of the part, or "package: licence" for each of its packages

    def fingerprint(self) -> str:
        """Changes when the part or what lies in its place does."""
        digest = hashlib.sha256(repr(self.part).encode())
        for path, name in self.paths:
            digest.update(repr((name, _version(path))).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A document of a part; lines end in LF, and lines with secrets are gone."""

    path: str  # as a user's file would be called
    language: str
    text: str
    n_secrets: int  # removed


def locate(part: Part, roots: Sequence[Path]) -> Source:
    """Find what `part` names in the first of `roots` that has it.

    Raises PretrainingError if it is nowhere, or if a package does not say that it may be used: a
    licence that is unknown or asks for more than that its notice is kept.
    """
    if part.stdlib:
        paths = [(Path(sysconfig.get_path("stdlib")), "python")]
        return Source(part=part, paths=paths, licences=[part.licence])
    if place := part.archive or part.folder:
        path = _found(part, place, roots)
        return Source(part=part, paths=[(path, path.name)], licences=[part.licence])
    paths, licences = [], []
    for name in part.packages:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise PretrainingError(
                f"part {part.name!r}: the package {name!r} is not installed; install it, or take "
                "it off the list"
            ) from error
        licence = licence_of(found)
        paths.append((Path(str(found.locate_file(""))), name))
        licences.append(_permitted(part, f"{name} {found.version}", licence))
    for name in part.npm:
        folder = _found(part, f"node_modules/{name}", roots)
        try:
            told = json.loads((folder / "package.json").read_text(encoding="utf-8"))
            licence, version = str(told.get("license")), str(told.get("version"))
        except (OSError, ValueError, AttributeError):
            licence, version = "unknown", ""
        paths.append((folder, name))
        licences.append(_permitted(part, f"{name} {version}", licence))
    return Source(part=part, paths=paths, licences=licences)


def texts(source: Source) -> Iterator[Text]:
    """The documents of a part in an order that is always the same, secrets removed.

    Raises PretrainingError for an archive that cannot be read.
    """
    part = source.part
    for text in _all(source):
        included = not part.include or matches(text.path, part.include)
        if included and not matches(text.path, part.exclude):
            yield text


def unseen(name: str, roots: Sequence[Path]) -> str:
    """A test text, which no part may hold. Raises PretrainingError if it is in none of `roots`."""
    for root in roots:
        try:
            return (root / name).read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):  # a NUL in the name is a ValueError
            continue
    raise PretrainingError(
        f"{name}: this test text is in none of the folders looked into, so nothing could be kept "
        "free of it; name the folder that holds it with --root"
    )


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of `patterns` fits; "*" stands for anything, "/" included."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def archived(path: Path) -> Iterator[tuple[str, str]]:
    """(path, text) of each document of an archive. Raises PretrainingError if it is none."""
    name, lines = None, list[str]()
    try:
        with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for line in file:
                if line.startswith(RECORD):
                    if name is not None:
                        yield name, "".join(lines)
                    name, lines = line[1:].rstrip("\n"), []
                elif name is None:
                    raise ValueError("it does not begin with a line of U+001E and a path")
                else:
                    lines.append(line)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise PretrainingError(
            f"{path.name}: not an archive of texts ({error}); fetch or make it again"
        ) from error
    if name is not None:
        yield name, "".join(lines)


# -- where things lie --------------------------------------------------------------------------


def _found(part: Part, place: str, roots: Sequence[Path]) -> Path:
    for root in roots:
        if os.path.exists(root / place):  # noqa: PTH110  # Path.exists raises for a long name
            return root / place
    raise PretrainingError(
        f"part {part.name!r}: {place} is in none of the folders looked into; name the folder that "
        "holds it with --root"
    )


def _version(path: Path) -> object:
    """What changes with a file, or with the files of a folder."""
    if path.is_file():
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    if path == Path(sysconfig.get_path("stdlib")) or path.name == "site-packages":
        return sorted(f"{d.name} {d.version}" for d in metadata.distributions(path=[str(path)]))
    found = (f for f in sorted(path.rglob("*")) if f.is_file())
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in found]


# -- licences ----------------------------------------------------------------------------------

# What asks for no more than a notice. Weights are no copy of the text; still, only text whose
# licence would let anybody use it in anything goes into a model that everybody gets.
PERMISSIVE = frozenset(
    (
        *("0bsd", "apache-2.0", "blueoak-1.0.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0"),
        *("cc0-1.0", "isc", "mit", "mit-0", "psf-2.0", "python-2.0", "unlicense", "zlib"),
    )
)
_CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "zlib/libpng License": "Zlib",
}
_NAMES = {
    "apache license 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
}


def licence_of(distribution: metadata.Distribution) -> str:
    """What a Python package says of its licence, as an SPDX expression; else "unknown"."""
    told = distribution.metadata
    for field in ("License-Expression", "License"):
        value = (told[field] or "").strip() if field in told else ""
        if value and value.upper() != "UNKNOWN" and "\n" not in value:
            return _NAMES.get(value.lower(), value)
    found = [
        _CLASSIFIERS.get(line.rpartition(" :: ")[2], line.rpartition(" :: ")[2])
        for line in told.get_all("Classifier") or []
        if line.startswith("License :: OSI Approved :: ")
    ]
    return " AND ".join(found) or "unknown"


def is_permissive(licence: str) -> bool:
    """Whether an SPDX expression asks for no more than a notice."""
    words = licence.lower().replace("(", " ( ").replace(")", " ) ").split()
    names = [word for word in words if word not in ("and", "or", "(", ")")]
    known = [name in PERMISSIVE for name in names]
    # "A OR B" lets one choose; anything more involved has to be permissive throughout.
    return any(known) if "and" not in words and len(names) > 1 else bool(known) and all(known)


def _permitted(part: Part, package: str, licence: str) -> str:
    if is_permissive(licence):
        return f"{package}: {licence}"
    raise PretrainingError(
        f"part {part.name!r}: the licence of {package} is {licence!r}, which is not known to be "
        "permissive; take it off the list"
    )


# -- reading -----------------------------------------------------------------------------------

# Code of other people's inside a package, under licences of their own.
_VENDORED = frozenset(
    (
        *("_vendor", "vendor", "vendored", "third_party", "extern", "external", "typeshed"),
        *("node_modules", "site-packages", "idlelib", "test", "tests", "__pycache__"),
    )
)
# Data and messages that happen to be written in a language of programs.
_NO_CODE = frozenset((TEXT, "json", "xml", "ini"))
_RULES = finding.Rules(max_file_bytes=300_000)  # longer sources are tables


def _all(source: Source) -> Iterator[Text]:
    part = source.part
    if part.archive:
        for path, text in archived(source.paths[0][0]):
            clean, n_secrets = secrets.redact(text)
            if clean.strip():
                language = language_of(path)
                yield Text(path=path, language=language, text=clean, n_secrets=n_secrets)
    elif part.folder:
        for item in corpus.documents([source.paths[0][0]], finding.Rules()):
            if isinstance(item, corpus.Document):
                yield _as_text(item, item.path)
    else:
        for folder, name in source.paths:
            yield from _package(folder, name, is_python=bool(part.packages))


def _package(folder: Path, name: str, *, is_python: bool) -> Iterator[Text]:
    """The sources of a package, called as in its repository: the package's name comes first."""
    if is_python:
        files = [
            (Path(str(file.locate())), str(file))
            for file in metadata.distribution(name).files or ()
            if ".." not in file.parts and not file.parts[0].endswith(".dist-info")
        ]
    else:
        files = [(file, f"{name}/{file.relative_to(folder)}") for file in folder.rglob("*")]
    for file, path in sorted(files, key=lambda pair: pair[1]):
        shown = path.replace("\\", "/")
        language = language_of(shown)
        parts = shown.split("/")
        foreign = _VENDORED & {*parts[1:-1]} or ignore.foreign_file(parts[-1])
        if foreign or language in _NO_CODE or is_prose(language) or not file.is_file():
            continue
        found = finding.Found(file=str(file), n_above=0, modified_ns=0, kind="text", named=False)
        item = corpus.read(found, _RULES)
        if isinstance(item, corpus.Document):
            yield _as_text(item, shown)


def _as_text(document: corpus.Document, path: str) -> Text:
    return Text(
        path=path, language=document.language, text=document.text, n_secrets=document.n_secrets
    )
