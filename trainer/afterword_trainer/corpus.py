"""The user's files as documents: found, read, cleaned, oldest first, one in memory at a time.

Whatever is not learned is reported with its reason. Nothing in a folder can stop the others from
being read: not a loop of links, not a pipe, not a file that changes or vanishes meanwhile.
Knows files and folders; leaves the bytes inside to `formats`, what to pass over to `ignore` and
`secrets`; knows nothing of symbols or models.
"""

import errno
import os
import stat
import struct
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from afterword_trainer import formats, ignore, secrets
from afterword_trainer.ignore import Ignore
from afterword_trainer.language import language_of

# Why something is not learned: a code for programs, in REASONS for people.
Reason = (
    ignore.Foreign
    | Literal["missing", "vanished", "unreadable", "changed", "special", "link"]
    | Literal["ignored", "opted-out", "secret-file", "secrets", "duplicate"]
    | Literal["too-large", "empty", "binary", "encoding", "broken", "mail", "pdf", "library"]
)
REASONS: dict[Reason, str] = {
    "missing": "no such file or folder",
    "vanished": "gone before it could be read",
    "unreadable": "could not be read",
    "changed": "changed while it was read; it is learned next time",
    "special": "no regular file: a pipe, a socket or a device",
    "link": "a symbolic link; what it points to is learned where it lies",
    "hidden": "hidden: its name begins with a dot",
    "ignored": "excluded by an ignore file",
    "opted-out": "opted out of learning",
    "dependencies": "other people's code",
    "build": "made by a build or a cache",
    "lock-file": "a lock file",
    "generated": "written by a program",
    "data": "data rather than writing",
    "too-large": "too large",
    "empty": "nothing in it",
    "binary": "not text",
    "encoding": "text in an unknown encoding",
    "broken": "damaged, or not what its name says",
    "mail": "mail is learned only when asked for",
    "pdf": "PDF files are learned only when asked for",
    "library": "a library that reads it is not installed",
    "secret-file": "a kind of file that holds secrets",
    "secrets": "full of secrets",
    "duplicate": "its text was learned from another file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is read, beyond what the user's own ignore files say."""

    max_file_bytes: int = 2_000_000  # a long novel; what is longer in a folder is seldom typed
    # A file that the user names, or a mailbox. Reading takes about ten times as much memory.
    max_named_bytes: int = 32_000_000
    mail: bool = False  # most mail is others' writing
    mail_from: Collection[str] = ()  # addresses, in lower case; empty: every sender's mail
    pdf: bool = False  # mostly others' writing, and hyphenated
    # A file this small with this many certain secrets is a file of secrets, .env by another name.
    small_file_chars: int = 20_000
    many_secrets: int = 3
    min_repeat_chars: int = 80  # shorter paragraphs repeat by nature: "}" or "Best wishes,"
    # Patterns as in .gitignore, for every folder that the user names; no ignore file in there can
    # undo them.
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that may be learned from."""

    file: str  # absolute
    n_above: int  # length of what precedes the root folder's name in `file`
    modified_ns: int
    kind: str  # of `formats`: "text", "notebook", "mail" ...
    named: bool  # by the user, rather than found in a folder
    # As it was found. What is read must be that very file: a link may take a folder's place above.
    status: os.stat_result | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str:
        """Relative, with the root folder's name first and "/" between the parts."""
        return _printable(self.file[self.n_above :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file, or a folder with all that is in it, that is not learned. A folder ends in "/"."""

    path: str  # as in Document
    reason: Reason
    detail: str = ""  # what REASONS does not say; never the file's text


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file's text, ready to be learned."""

    path: str  # relative, with the root folder's name first and "/" between the parts
    modified: float  # Unix time, s
    language: str  # as editors name it: "markdown", "python", "text"
    text: str  # lines end in \n; no byte order mark
    n_secrets: int  # removed; each left an empty line in place of its own
    digest: str  # BLAKE2b of the text before paragraphs that other documents hold were dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder to be listed, with what is known of it from above."""

    path: str  # absolute
    n_above: int  # as in Found
    ignored: Ignore  # the patterns in force in it; of its own ignore files once it is listed
    unwanted: Ignore  # those of Rules
    named: bool = False
    identity: tuple[int, int] | None = None  # device and inode, as its parent's listing has them
    in_mail: bool = False  # one of the three folders of a Maildir
    is_mail: bool = False  # a Maildir; known once it is listed, as is the next
    is_project: bool = False  # build tools work in it

    def skipped(self, reason: Reason, detail: str = "") -> Skipped:
        """This folder, as one that is not learned."""
        path = _printable(self.path[self.n_above :])
        return Skipped(path=path.rstrip("/") + "/", reason=reason, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one folder holds."""

    folder: Folder  # with what the listing tells of it
    identity: tuple[int, int]  # its device and inode
    names: frozenset[str]
    refused: Skipped | None  # why nothing in it is learned; then there are no items
    items: Iterator[Folder | Found | Skipped]  # by name, while it is listed
    # Those of some names, for whoever knows what has changed in a folder of very many.
    among: Callable[[Collection[str]], Iterator[Folder | Found | Skipped]]


Roots = Iterable[str | os.PathLike[str]]  # files and folders that the user names


def documents(roots: Roots, rules: Rules) -> Iterator[Document | Skipped]:
    """What is learned from `roots`, files or folders: skips of the walk, then files by age.

    The oldest modification comes first, then the path decides. A document or a paragraph that
    repeats an earlier one is dropped. Memory is bounded by one document and a fixed table, and
    by about a hundred bytes for each file. Raises nothing for anything that the roots may hold.
    """
    return (item for _, item in items(roots, rules))


def items(
    roots: Roots, rules: Rules, passes_over: Callable[[str], bool] = lambda file: False
) -> Iterator[tuple[str, Document | Skipped]]:
    """As `documents`, each with its file, "" for a skip of the walk.

    A file for which `passes_over` is true is left out without a word.
    """
    waiting = _ByAge()
    for found in _walk(roots, rules):
        if isinstance(found, Skipped):
            yield "", found
        elif not passes_over(found.file):
            waiting.add(found)
    seen = _Fingerprints()
    for file in waiting.oldest_first():
        item = read(file, rules)
        yield file.file, _without_repeats(item, seen, rules) if isinstance(item, Document) else item


def find(roots: Roots, rules: Rules) -> list[Found | Skipped]:
    """The files below `roots` that may be learned, and what was passed over by its name."""
    return list(_walk(roots, rules))


def top(root: str | os.PathLike[str], rules: Rules) -> Folder:
    """A folder that the user names, for `listed`; it need not be there."""
    path = Path(os.path.abspath(root))  # noqa: PTH100 - keeps links' names
    return Folder(
        path=str(path),
        n_above=_n_above(path),
        ignored=_ignored_above(path),
        unwanted=Ignore().within(str(path), ignore.OURS, rules.ignore),
        named=True,
    )


@contextmanager
def listed(folder: Folder, rules: Rules) -> Iterator[Listing]:
    """One folder's entries, judged by name and status; no file in it is opened but ignore files.

    For whoever goes from folder to folder by itself; a file with several names counts as several.
    Raises OSError if it cannot be listed, FileNotFoundError also if another folder has taken the
    place of the one that its parent's listing named.
    """
    follow = 0 if folder.named else os.O_NOFOLLOW
    descriptor = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | follow)
    try:
        status = os.fstat(descriptor)
        identity = (status.st_dev, status.st_ino)
        if folder.identity not in (None, identity):
            raise FileNotFoundError(errno.ENOENT, "another folder has taken its place")
        names = frozenset(os.listdir(descriptor))  # noqa: PTH208 - a Path has no descriptor
        refused = _folder_refused(folder, names, rules)
        if not refused:
            folder = _told_by_listing(folder, names)

        def among(some: Collection[str]) -> Iterator[Folder | Found | Skipped]:
            return iter(()) if refused else _judged_entries(descriptor, some, folder, rules)

        yield Listing(
            folder=folder,
            identity=identity,
            names=names,
            refused=refused,
            items=among(names),
            among=lambda some: among(names.intersection(some)),
        )
    finally:
        os.close(descriptor)


def _judged_entries(
    descriptor: int, names: Collection[str], folder: Folder, rules: Rules
) -> Iterator[Folder | Found | Skipped]:
    # One at a time: a folder may hold more than one would keep in memory.
    for name in sorted(names):
        item = _judged_entry(descriptor, name, folder, rules)
        if item is not None:
            yield item


def found_again(folder: Folder, name: str, status: os.stat_result, rules: Rules) -> Found | Skipped:
    """A file that a listing of `folder` has found before, as it is now by its `status`."""
    path = folder.path.rstrip("/") + "/" + name
    return _judged(path, folder.n_above, status, rules, named=False, in_mail=folder.in_mail)


def read(found: Found, rules: Rules) -> Document | Skipped:
    """The file's text without its secrets, or why there is none."""
    try:
        return _document(found, rules)
    except _Skip as skip:
        return Skipped(path=found.path, reason=skip.reason, detail=skip.detail)


@dataclass(slots=True)
class Share:
    """A part of a corpus."""

    documents: int = 0
    characters: int = 0


@dataclass(slots=True)
class Summary:
    """A corpus in figures; `add` takes what `documents` yields."""

    total: Share = field(default_factory=Share)
    n_secrets: int = 0  # removed from documents
    by_language: dict[str, Share] = field(default_factory=dict)
    by_folder: dict[str, Share] = field(default_factory=dict)  # the root's own folders
    by_reason: dict[Reason, int] = field(default_factory=dict)  # what was skipped

    def add(self, item: Document | Skipped) -> None:
        if isinstance(item, Skipped):
            self.by_reason[item.reason] = self.by_reason.get(item.reason, 0) + 1
            return
        folder = "/".join(item.path.split("/")[:-1][:2])
        self.n_secrets += item.n_secrets
        for share in (
            self.total,
            self.by_language.setdefault(item.language, Share()),
            self.by_folder.setdefault(folder, Share()),
        ):
            share.documents += 1
            share.characters += len(item.text)

    @property
    def n_skipped(self) -> int:
        """Files and whole folders that are not learned."""
        return sum(self.by_reason.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON object; languages, folders and reasons with most in them come first."""

        def ranked(shares: dict[str, Share]) -> dict[str, dict[str, int]]:
            order = sorted(shares.items(), key=lambda item: (-item[1].characters, item[0]))
            return {
                name: {"documents": share.documents, "characters": share.characters}
                for name, share in order
            }

        reasons = sorted(self.by_reason.items(), key=lambda item: (-item[1], item[0]))
        return {
            "documents": self.total.documents,
            "characters": self.total.characters,
            "secrets_removed": self.n_secrets,
            "languages": ranked(self.by_language),
            "folders": ranked(self.by_folder),
            "files_skipped": self.n_skipped,
            "skipped": dict(reasons),
        }


def summarise(items: Iterable[Document | Skipped]) -> Summary:
    """The figures of a whole corpus; the items themselves are let go one by one."""
    summary = Summary()
    for item in items:
        summary.add(item)
    return summary


class _Skip(Exception):
    """Ends the reading of one file; never leaves this module."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.detail = detail


# --- finding -------------------------------------------------------------------------------------

_MAILDIR = frozenset(("cur", "new", "tmp"))
_KINDS = {
    ".ipynb": "notebook",
    ".docx": "docx",
    ".odt": "odt",
    ".eml": "mail",
    ".mbox": "mailbox",
    ".pdf": "pdf",
}
_KIND_NAMES = ("text", *_KINDS.values())


def _walk(roots: Roots, rules: Rules) -> Iterator[Found | Skipped]:
    # Files first, then outer folders before inner ones: whatever two roots share is found once,
    # under the same path in whatever order they were given.
    absolute = {Path(os.path.abspath(root)) for root in roots}  # noqa: PTH100 - keeps links' names
    paths = sorted(absolute, key=lambda path: (len(path.parts), path))
    seen: set[tuple[int, int]] = set()  # of folders, and of files with more than one name
    folders: list[Folder] = []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            yield Skipped(path=_printable(path.name), reason="missing")
            continue
        except OSError as error:
            yield Skipped(
                path=_printable(path.name), reason="unreadable", detail=error.strerror or ""
            )
            continue
        if stat.S_ISDIR(status.st_mode):
            folders.append(top(path, rules))
            continue
        # A link that the user names is meant, unlike one that lies in a folder. The file is
        # called by its folder too, as if the folder had been named.
        target = path.resolve() if path.is_symlink() else path
        seen.add((status.st_dev, status.st_ino))
        if _is_opted_out(target.parent):
            yield Skipped(path=_printable(path.name), reason="opted-out", detail=_OPTED_OUT_ABOVE)
            continue
        yield _judged(str(target), _n_above(target.parent), status, rules, named=True)
    for folder in folders:
        yield from _walk_folder(folder, rules, seen)


def _n_above(root: Path) -> int:
    """Length of what precedes the name of `root` in its path."""
    return len(str(root)) - len(root.name)


def _walk_folder(
    root: Folder, rules: Rules, seen: set[tuple[int, int]]
) -> Iterator[Found | Skipped]:
    """Depth first with a stack of our own, so that no depth of folders is too deep."""
    stack = [root]
    while stack:
        folder = stack.pop()
        inner: list[Folder] = []
        try:
            with listed(folder, rules) as listing:
                if listing.identity in seen:
                    yield folder.skipped("duplicate", "this folder is reached in two ways")
                    continue
                seen.add(listing.identity)
                if listing.refused:
                    yield listing.refused
                for item in listing.items:
                    if isinstance(item, Folder):
                        inner.append(item)
                    elif isinstance(item, Found) and _is_seen(item, seen):
                        detail = "the same file by another name"
                        yield Skipped(path=item.path, reason="duplicate", detail=detail)
                    else:
                        yield item
        except OSError as error:
            yield folder.skipped(_reason_of(error), error.strerror or "")
        stack += reversed(inner)


def _is_seen(found: Found, seen: set[tuple[int, int]]) -> bool:
    """Whether the file was there by another name; it has been from now on."""
    if found.status is None:
        return False
    identity = (found.status.st_dev, found.status.st_ino)
    if identity in seen:
        return True
    if found.status.st_nlink > 1:
        seen.add(identity)
    return False


def _told_by_listing(folder: Folder, names: Collection[str]) -> Folder:
    ignored = folder.ignored
    for kind in (ignore.GIT, ignore.OURS):
        if kind in names:
            ignored = ignored.within(folder.path, kind, _lines(Path(folder.path, kind)))
    return replace(
        folder,
        ignored=ignored,
        is_mail=set(names) >= _MAILDIR,
        is_project=ignore.is_project(names),
    )


def _folder_refused(folder: Folder, names: Collection[str], rules: Rules) -> Skipped | None:
    """Why nothing below a folder is learned, by what lies in it."""
    if ignore.OPT_OUT_FILE in names:
        return folder.skipped("opted-out", f"it holds {ignore.OPT_OUT_FILE}")
    if folder.named and _is_opted_out(Path(folder.path).parent):
        return folder.skipped("opted-out", _OPTED_OUT_ABOVE)
    if secrets.is_secret_file(_printable(folder.path[folder.n_above :])):
        return folder.skipped("secret-file")
    if not folder.named and (reason := ignore.foreign_contents(names)):
        return folder.skipped(reason)
    if set(names) >= _MAILDIR and not rules.mail:
        return folder.skipped("mail")
    return None


_OPTED_OUT_ABOVE = f"a folder above holds {ignore.OPT_OUT_FILE}"


def _is_opted_out(folder: Path) -> bool:
    return any(os.path.lexists(above / ignore.OPT_OUT_FILE) for above in (folder, *folder.parents))


def _judged_entry(
    descriptor: int, name: str, folder: Folder, rules: Rules
) -> Folder | Found | Skipped | None:
    """What becomes of one entry of a folder; None for what goes without saying."""
    if name in (".git", ignore.GIT, ignore.OURS):
        return None
    path = folder.path.rstrip("/") + "/" + name
    shown = _printable(path[folder.n_above :])
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        return Skipped(path=shown, reason=_reason_of(error), detail=error.strerror or "")
    if stat.S_ISLNK(status.st_mode):
        return Skipped(path=shown, reason="link")
    is_folder = stat.S_ISDIR(status.st_mode)
    excluded_by = folder.ignored.excludes(path, is_folder=is_folder)
    if not excluded_by and folder.unwanted.excludes(path, is_folder=is_folder):
        excluded_by = "the settings"
    if is_folder:
        inner = Folder(
            path=path,
            n_above=folder.n_above,
            ignored=folder.ignored,
            unwanted=folder.unwanted,
            identity=(status.st_dev, status.st_ino),
            in_mail=folder.is_mail,
        )
        if secrets.is_secret_file(shown):
            return inner.skipped("secret-file")
        if reason := ignore.foreign_folder(name, in_project=folder.is_project):
            return inner.skipped(reason)
        return inner.skipped("ignored", f"by {excluded_by}") if excluded_by else inner
    if secrets.is_secret_file(shown):
        return Skipped(path=shown, reason="secret-file")
    if (reason := ignore.foreign_file(name)) and not folder.in_mail:
        return Skipped(path=shown, reason=reason)
    if excluded_by:
        return Skipped(path=shown, reason="ignored", detail=f"by {excluded_by}")
    return _judged(path, folder.n_above, status, rules, named=False, in_mail=folder.in_mail)


def _judged(
    path: str,
    n_above: int,
    status: os.stat_result,
    rules: Rules,
    *,
    named: bool,
    in_mail: bool = False,
) -> Found | Skipped:
    """A file by its kind and size."""
    shown = _printable(path[n_above:])

    def skipped(reason: Reason, detail: str = "") -> Skipped:
        return Skipped(path=shown, reason=reason, detail=detail)

    if not stat.S_ISREG(status.st_mode):
        return skipped("special")
    if secrets.is_secret_file(shown):
        return skipped("secret-file")
    kind = "mail" if in_mail else _KINDS.get(_suffix(path).lower(), "text")
    if kind in ("mail", "mailbox") and not rules.mail:
        return skipped("mail")
    if kind == "pdf" and not rules.pdf:
        return skipped("pdf")
    found = Found(
        file=path,
        n_above=n_above,
        modified_ns=status.st_mtime_ns,
        kind=kind,
        named=named,
        status=status,
    )
    if status.st_size > _cap(found, rules):
        return skipped("too-large", _too_large(found, rules))
    return found


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1]  # noqa: PTH122 - a Path for each of 100,000 files takes 0.5 s


def _cap(found: Found, rules: Rules) -> int:
    whole = found.named or found.kind == "mailbox"
    return rules.max_named_bytes if whole else rules.max_file_bytes


def _too_large(found: Found, rules: Rules) -> str:
    cap = _cap(found, rules)
    remedy = "" if cap == rules.max_named_bytes else "; name the file itself to learn it"
    return f"over {cap / 1e6:g} MB{remedy}"


def _ignored_above(root: Path) -> Ignore:
    """The patterns that reach into `root` from its repository, or none if they exclude it.

    A folder that the user names is meant, whatever its repository thinks of it.
    """
    line = (root, *root.parents)
    depth = next((n for n, at in enumerate(line) if os.path.lexists(at / ".git")), None)
    if depth is None:
        return Ignore()
    repository = line[depth]
    exclude = repository / ".git" / "info" / "exclude"
    ignored = Ignore().within(str(repository), ignore.GIT, _lines(exclude))
    for inner, folder in reversed([*pairwise(line[: depth + 1])]):
        for kind in (ignore.GIT, ignore.OURS):
            ignored = ignored.within(str(folder), kind, _lines(folder / kind))
        if ignored.excludes(str(inner), is_folder=True):
            return Ignore()
    return ignored


def _lines(file: Path) -> list[str]:
    """Lines of an ignore file; none if there is no such file or it cannot be read."""
    try:
        data, _ = _bytes_of(str(file), at_most=1_000_000)
    except (_Skip, OSError, OverflowError):
        return []
    return data.decode("utf-8-sig", "replace").split("\n")


def _printable(path: str) -> str:
    """A path with "/" between its parts; bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace").replace(os.sep, "/")


def _reason_of(error: OSError) -> Reason:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "vanished"
    if error.errno == errno.ELOOP:  # it has become a link
        return "link"
    return "special" if error.errno == errno.ENXIO else "unreadable"  # ENXIO: a socket


class _ByAge:
    """Files that wait to be read, in about a hundred bytes each, for there may be many.

    A file is a string of bytes that sorts as it should: modification time, path, root, kind.
    """

    _END = struct.Struct(">xHB?")  # a zero, which no path holds; root, kind, whether it was named

    def __init__(self) -> None:
        self._above: list[str] = []  # what precedes the root's name, for each root
        self._files: list[bytes] = []

    def add(self, found: Found) -> None:
        above = found.file[: found.n_above]
        if above not in self._above:
            self._above.append(above)
        end = (self._above.index(above), _KIND_NAMES.index(found.kind), found.named)
        time = max(0, found.modified_ns).to_bytes(9, "big")
        path = os.fsencode(found.file[found.n_above :])
        self._files.append(time + path + self._END.pack(*end))

    def oldest_first(self) -> Iterator[Found]:
        """Each file once; it is forgotten when it is given."""
        self._files.sort(reverse=True)
        while self._files:
            file = self._files.pop()
            root, kind, named = self._END.unpack(file[-self._END.size :])
            above = self._above[root]
            yield Found(
                file=above + os.fsdecode(file[9 : -self._END.size]),
                n_above=len(above),
                modified_ns=int.from_bytes(file[:9], "big"),
                kind=_KIND_NAMES[kind],
                named=named,
            )


# --- reading -------------------------------------------------------------------------------------

_N_HEAD = 8192  # bytes that tell text from the many large files that are none


def _document(found: Found, rules: Rules) -> Document:
    try:
        data, status = _bytes_of(
            found.file,
            at_most=_cap(found, rules),
            text_only=found.kind == "text",
            listed=found.status,
        )
    except OSError as error:
        raise _Skip(_reason_of(error), error.strerror or "") from error
    except OverflowError as error:
        raise _Skip("too-large", _too_large(found, rules)) from error
    text = _text_of(data, found.kind, rules)
    del data
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise _Skip("empty")
    language = "mail" if found.kind in ("mail", "mailbox") else language_of(found.file)
    if ignore.opts_out(text):
        raise _Skip("opted-out", "it says so in its first or last lines")
    if ignore.is_generated(text, language) and not found.named:
        raise _Skip("generated")
    text = _without_long_lines(text)
    spans = secrets.find(text)
    if len(text) <= rules.small_file_chars:
        n_certain = sum(span.kind in secrets.CERTAIN for span in spans)
        if n_certain >= rules.many_secrets:
            raise _Skip("secrets", f"{n_certain} in {len(text):,} characters")
    text = secrets.without(text, spans)
    if not text.strip():
        raise _Skip("secrets" if spans else "generated")
    return Document(
        path=found.path,
        modified=status.st_mtime,
        language=language,
        text=text,
        n_secrets=len(spans),
        digest=blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest(),
    )


def _bytes_of(
    file: str, *, at_most: int, text_only: bool = False, listed: os.stat_result | None = None
) -> tuple[bytes, os.stat_result]:
    """All bytes of a regular file and its status, never waiting and never following a link.

    Where `listed` is given, only of the file of that status.

    Raises OSError, OverflowError for a file over the cap, and _Skip.
    """
    # A pipe would wait for a writer, a link may have taken the file's place since it was found,
    # and a child process has no business with what we read.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise _Skip("special")
        if listed and (before.st_dev, before.st_ino) != (listed.st_dev, listed.st_ino):
            raise _Skip("changed")
        if before.st_size > at_most:
            raise OverflowError
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(_N_HEAD)
            if text_only and formats.is_binary(data):
                raise _Skip("binary")
            data += stream.read(at_most - len(data) + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if len(data) > at_most:
        raise OverflowError
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _Skip("changed")
    return data, after


def _text_of(data: bytes, kind: str, rules: Rules) -> str:
    try:
        match kind:
            case "notebook":
                return formats.notebook(data)
            case "docx":
                return formats.docx(data)
            case "odt":
                return formats.odt(data)
            case "mail":
                return formats.mail(data, rules.mail_from)
            case "mailbox":
                return formats.mailbox(data, rules.mail_from)
            case "pdf":
                return formats.pdf(data)
            case _:
                return formats.decode(data)
    except formats.BinaryData as error:
        raise _Skip("binary") from error
    except formats.UnknownEncoding as error:
        raise _Skip("encoding", str(error)) from error
    except formats.LibraryMissing as error:
        raise _Skip("library", str(error)) from error
    except formats.FormatError as error:
        raise _Skip("broken", str(error)) from error


def _without_long_lines(text: str) -> str:
    """Lines beyond all typing become empty: they are data, and the rules for secrets end there."""
    lines = text.split("\n")
    if max(map(len, lines)) <= ignore.LONGEST_LINE:
        return text
    return "\n".join(line if len(line) <= ignore.LONGEST_LINE else "" for line in lines)


# --- repetition ----------------------------------------------------------------------------------


class _Fingerprints:
    """64-bit fingerprints of texts seen before, in a table that never grows.

    A newer one takes the place of an older one, so that a repetition may be missed after
    millions of paragraphs; two different texts are never taken for one.
    """

    _N_BITS = 21  # 16 MB: the paragraphs of about 500 MB of prose

    def __init__(self) -> None:
        self._table = array("Q", [0]) * (1 << self._N_BITS)

    def holds(self, text: str) -> bool:
        """Whether `text` was here before; it has been from now on."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        fingerprint = int.from_bytes(digest, "little") or 1  # 0 stands for an empty place
        place = fingerprint >> (64 - self._N_BITS)
        if self._table[place] == fingerprint:
            return True
        self._table[place] = fingerprint
        return False


def _without_repeats(document: Document, seen: _Fingerprints, rules: Rules) -> Document | Skipped:
    if seen.holds(document.digest):
        return Skipped(path=document.path, reason="duplicate")
    kept = [
        paragraph
        for paragraph in document.text.split("\n\n")
        if len(paragraph) < rules.min_repeat_chars or not seen.holds(" ".join(paragraph.split()))
    ]
    text = "\n\n".join(kept)
    if not text.strip():
        return Skipped(path=document.path, reason="duplicate", detail="paragraph by paragraph")
    return replace(document, text=text)
