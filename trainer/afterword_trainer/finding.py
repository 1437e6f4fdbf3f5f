"""The user's files, found: what lies in folders, judged by name and status.

Whatever is passed over is told with its reason. Nothing in a folder can stop the others from being
found: not a loop of links, not a folder that vanishes meanwhile. Knows names, kinds and sizes, and
the ignore files; opens no other file. What to pass over, `ignore` and `secrets` know.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from afterword_trainer import ignore, secrets
from afterword_trainer.ignore import Ignore
from afterword_trainer.opening import bytes_of
from afterword_trainer.skips import Reason, Skip, Skipped, reason_of

_EXCLUDE = Path(".git/info/exclude")
_MAILDIR = frozenset(("cur", "new", "tmp"))
_KIND_BY_SUFFIX = {
    ".ipynb": "notebook",
    ".docx": "docx",
    ".odt": "odt",
    ".eml": "mail",
    ".mbox": "mailbox",
    ".pdf": "pdf",
}
KINDS = ("text", *_KIND_BY_SUFFIX.values())


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
class Folder:
    """A folder to be listed, with what is known of it from above."""

    path: str  # absolute
    real: str  # the same without links, which ignore files are about, as git has it
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


def find(roots: Roots, rules: Rules) -> Iterator[Found | Skipped]:
    """The files below `roots` that may be learned, and what is passed over by its name."""
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
        if _is_opted_out_above(path):
            yield Skipped(path=_printable(path.name), reason="opted-out", detail=_OPTED_OUT_ABOVE)
            continue
        yield _judged(str(target), _n_above(target.parent), status, rules, named=True)
    for folder in folders:
        yield from _walk_folder(folder, rules, seen)


def top(root: str | os.PathLike[str], rules: Rules) -> Folder:
    """A folder that the user names, for `listed`; it need not be there."""
    path = Path(os.path.abspath(root))  # noqa: PTH100 - keeps links' names
    real = os.path.realpath(path)
    return Folder(
        path=str(path),
        real=real,
        n_above=_n_above(path),
        ignored=_ignored_above(Path(real)),
        unwanted=Ignore().within(real, ignore.OURS, rules.ignore),
        named=True,
    )


def above(root: str | os.PathLike[str]) -> dict[str, frozenset[str]]:
    """The folders above one that the user names, and what in them decides on what is read of it.

    With itself, for whether a repository begins there, and where links to ignore files lead. For
    whoever wants to know when that changes. What is named need not be there.
    """
    path = Path(os.path.abspath(root))  # noqa: PTH100 - keeps links' names
    real = Path(os.path.realpath(path))
    deciding = frozenset((".git", ignore.GIT, ignore.OURS, ignore.OPT_OUT_FILE))
    found = dict.fromkeys(map(str, (*path.parents, *real.parents)), deciding)
    found[str(path)] = frozenset((".git",))  # with one of its own, nothing above is its repository
    for folder in {path, *path.parents, *real.parents}:
        file = folder / ignore.OURS
        if file.is_symlink():
            there, called = os.path.split(os.path.realpath(file))
            found[there] = found.get(there, frozenset()) | {called}
    if repository := _repository((real, *real.parents)):
        for inner, name in pairwise((".git", "info", "exclude")):
            repository /= inner
            found[str(repository)] = frozenset((name,))
    return found


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


def found_again(folder: Folder, name: str, status: os.stat_result, rules: Rules) -> Found | Skipped:
    """A file that a listing of `folder` has found before, as it is now by its `status`."""
    path = folder.path.rstrip("/") + "/" + name
    return _judged(path, folder.n_above, status, rules, named=False, in_mail=folder.in_mail)


def most_bytes(found: Found, rules: Rules) -> int:
    """The most bytes of a file that are read."""
    whole = found.named or found.kind == "mailbox"
    return rules.max_named_bytes if whole else rules.max_file_bytes


def too_large(found: Found, rules: Rules) -> str:
    """How a file is beyond that, and what can be done."""
    most = most_bytes(found, rules)
    remedy = "" if most == rules.max_named_bytes else "; name the file itself to learn it"
    return f"over {most / 1e6:g} MB{remedy}"


# --- judging -------------------------------------------------------------------------------------


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
            yield folder.skipped(reason_of(error), error.strerror or "")
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
            file = Path(folder.path, kind)
            lines = _lines(file if kind == ignore.GIT else _linked(file))
            ignored = ignored.within(folder.real, kind, lines)
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
    if folder.named and _is_opted_out_above(Path(folder.path)):
        return folder.skipped("opted-out", _OPTED_OUT_ABOVE)
    if secrets.is_secret_file(_printable(folder.path[folder.n_above :])):
        return folder.skipped("secret-file")
    if not folder.named and (reason := ignore.foreign_contents(names)):
        return folder.skipped(reason)
    if set(names) >= _MAILDIR and not rules.mail:
        return folder.skipped("mail")
    return None


_OPTED_OUT_ABOVE = f"a folder above holds {ignore.OPT_OUT_FILE}"


def _is_opted_out_above(path: Path) -> bool:
    """Whether a folder above says so, of those in its name and of those that it really lies in."""
    folders = {*path.parents, *Path(os.path.realpath(path)).parents}
    return any(os.path.lexists(folder / ignore.OPT_OUT_FILE) for folder in folders)


def _judged_entries(
    descriptor: int, names: Collection[str], folder: Folder, rules: Rules
) -> Iterator[Folder | Found | Skipped]:
    # One at a time: a folder may hold more than one would keep in memory.
    for name in sorted(names):
        item = _judged_entry(descriptor, name, folder, rules)
        if item is not None:
            yield item


def _judged_entry(
    descriptor: int, name: str, folder: Folder, rules: Rules
) -> Folder | Found | Skipped | None:
    """What becomes of one entry of a folder; None for what goes without saying."""
    if name in (".git", ignore.GIT, ignore.OURS):
        return None
    path = folder.path.rstrip("/") + "/" + name
    real = path if folder.real == folder.path else folder.real.rstrip("/") + "/" + name
    shown = _printable(path[folder.n_above :])
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        return Skipped(path=shown, reason=reason_of(error), detail=error.strerror or "")
    if stat.S_ISLNK(status.st_mode):
        return Skipped(path=shown, reason="link")
    is_folder = stat.S_ISDIR(status.st_mode)
    excluded_by = folder.ignored.excludes(real, is_folder=is_folder)
    if not excluded_by and folder.unwanted.excludes(real, is_folder=is_folder):
        excluded_by = "the settings"
    if is_folder:
        inner = Folder(
            path=path,
            real=real,
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
    kind = "mail" if in_mail else _KIND_BY_SUFFIX.get(_suffix(path).lower(), "text")
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
    if status.st_size > most_bytes(found, rules):
        return skipped("too-large", too_large(found, rules))
    return found


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1]  # noqa: PTH122 - a Path for each of 100,000 files takes 0.5 s


def _ignored_above(root: Path) -> Ignore:
    """The patterns that reach into `root`: of git from its repository, ours from wherever they are.

    A folder that the user names is meant, whatever git thinks of it, or of a folder on the way.
    """
    line = (root, *root.parents)
    repository = _repository(line)
    ignored = Ignore()
    if repository:
        ignored = ignored.within(str(repository), ignore.GIT, _lines(repository / _EXCLUDE))
    for inner, folder in reversed([*pairwise(line)]):  # its own ignore files come with its listing
        if repository and folder.is_relative_to(repository):
            ignored = ignored.within(str(folder), ignore.GIT, _lines(folder / ignore.GIT))
        ignored = ignored.within(str(folder), ignore.OURS, _lines(_linked(folder / ignore.OURS)))
        if ignored.excludes(str(inner), is_folder=True) == ignore.GIT:
            ignored = ignored.without(ignore.GIT)
    return ignored


def _repository(line: Iterable[Path]) -> Path | None:
    """The first of these folders that a repository begins in."""
    return next((folder for folder in line if os.path.lexists(folder / ".git")), None)


def _linked(file: Path) -> Path:
    """Where a link leads: ours may be kept elsewhere, with other dotfiles; git follows none."""
    return Path(os.path.realpath(file))


def _lines(file: Path) -> list[str]:
    """Lines of an ignore file; none if there is no such file or it cannot be read."""
    try:
        data, _ = bytes_of(str(file), at_most=1_000_000)
    except (Skip, OSError, OverflowError):
        return []
    return data.decode("utf-8-sig", "replace").split("\n")


def _printable(path: str) -> str:
    """A path with "/" between its parts; bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace").replace(os.sep, "/")
