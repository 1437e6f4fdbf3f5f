"""The plug-ins of editors: which editors are here, what is put in place for them, how it is undone.

Knows where Neovim looks for packages, and how VS Code and its kin are given an extension; knows
nothing of what a plug-in does. Nothing happens unless somebody asks for it, and what somebody else
wrote is left alone.

    PluginError     it cannot be put in place, or taken back
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from afterword_trainer import durable
from afterword_trainer.paths import Paths

# In a wheel beside this module; in a checkout where they are written.
SOURCES = (Path(__file__).parent / "editors", Path(__file__).parents[2] / "editors")
PAGE = "README.md"
MOST_BYTES = 16 << 20  # of a file of a plug-in; more is something else
TIMEOUT_S = 180.0  # VS Code takes seconds for an extension, and more on a busy machine

OLDEST_NEOVIM = (0, 11)
NEOVIMS_FOLDERS = ("plugin", "lsp", "lua", "doc")  # the rest of ours is for those who work on it
HOW_MADE = "lua/afterword/installed.lua"
MARK = "-- Written by `afterword install neovim`; `afterword uninstall neovim` removes all of it.\n"

VSIX = "afterword.vsix"
EXTENSION = "afterword.afterword"  # publisher.name
# VS Code and what was made of it, by the programs that install extensions; and where macOS has
# these, whose applications are on nobody's PATH unless asked for.
KIN = {
    "code": ("VS Code", "Visual Studio Code.app/Contents/Resources/app/bin/code"),
    "code-insiders": (
        "VS Code Insiders",
        "Visual Studio Code - Insiders.app/Contents/Resources/app/bin/code",
    ),
    "codium": ("VSCodium", "VSCodium.app/Contents/Resources/app/bin/codium"),
    "cursor": ("Cursor", "Cursor.app/Contents/Resources/app/bin/cursor"),
    "code-server": ("code-server", ""),
}


class PluginError(Exception):
    """What was asked cannot be done here; one sentence with its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One folder of ours, and the programs that are told of it."""

    editors: Sequence[str]  # those that are here, as people call them
    folder: Path  # comes and goes as a whole
    files: Mapping[str, bytes]  # below it, in the order of writing
    made_here: str  # the one of them that did not come with Afterword: it names this installation
    mark: str  # how that one begins, of whatever version
    entry: str = ""  # the folder of it that the editor starts by, if it looks for one
    n_above: int = 0  # folders above that go too, once they are empty
    lack: str = ""  # why it cannot be put in place here, and the remedy
    giving: Sequence[Sequence[str]] = ()  # commands, before anything is written
    taking_back: Sequence[Sequence[str]] = ()  # before it is deleted

    @property
    def is_installed(self) -> bool:
        """Whether there is such a folder; it may be of an older version."""
        return os.path.lexists(self.folder)

    @property
    def is_foreign(self) -> bool:
        """Whether what is there is somebody's own work, or a link to it."""
        if self.folder.is_symlink() or not self.is_installed:
            return self.is_installed
        mark = self.folder / self.made_here
        try:
            return not mark.read_text(encoding="utf-8").startswith(self.mark)
        except FileNotFoundError:
            # We may have been killed before the mark was whole: that much, and no more, is ours.
            begun = f"{mark.name}.*{durable.TEMPORARY}"
            found = self.folder.rglob("*")
            return any(one not in mark.parents and not one.match(begun) for one in found)
        except (OSError, ValueError):
            return True

    @property
    def is_current(self) -> bool:
        """Whether what is there is what `install` would write."""
        try:
            return all((self.folder / n).read_bytes() == data for n, data in self.files.items())
        except OSError:
            return False


def neovim(environ: Mapping[str, str] = os.environ) -> Plugin:
    """The plug-in for Neovim, in the folder from which it loads packages by itself.

    It is a copy. A link would lead into an environment of Python, whose folders are named after its
    version: the next one would leave it dangling, and editors in a sandbox do not see that far.
    Raises PluginError where this installation has none.
    """
    program = _program("nvim", environ)
    version = _version_of(program) if program else None
    is_too_old = version is not None and version < OLDEST_NEOVIM
    source = _source("neovim")
    found = {
        path.relative_to(source).as_posix(): durable.read(path, at_most=MOST_BYTES)
        for folder in NEOVIMS_FOLDERS
        for path in sorted((source / folder).rglob("*"))
        if path.is_file() and path.name != "tags"  # which is made here
    }
    made_here = {HOW_MADE: f"{MARK}return {{ server = {_in_lua(_server(environ))} }}\n".encode()}
    starts = {name: data for name, data in found.items() if name.startswith("plugin/")}
    rest = {name: data for name, data in found.items() if name not in starts}
    data = Path(environ.get("XDG_DATA_HOME") or _home(environ) / ".local/share")
    packages = data / (environ.get("NVIM_APPNAME") or "nvim") / "site/pack"
    return Plugin(
        editors=["Neovim"] if program else [],
        folder=packages / "afterword/start/afterword",
        # First the mark, so that half of it is known as ours, and last what Neovim starts by.
        files=made_here | _tags(found) | rest | starts,
        made_here=HOW_MADE,
        mark=MARK,
        entry="plugin",
        n_above=2,
        lack=f"{program}: this is Neovim {_dotted(version or ())}, and the plug-in needs "
        f"{_dotted(OLDEST_NEOVIM)}; install a newer one"
        if is_too_old
        else "",
    )


def vscode(
    paths: Paths, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> Plugin:
    """The extension for VS Code and its kin, for all of them that are here.

    Beside it they are told, by a file in Afterword's own folder, where the language server is: what
    is started from the desktop does not know the shell's PATH. Another file there says which
    extension was given to whom. Raises PluginError where there is no language server.
    """
    programs = {}
    for name, (_, application) in KIN.items():
        found = _program(name, environ)
        if not found and platform == "darwin" and application:
            found = next((p for p in _applications(environ, application) if p.is_file()), None)
        if found:
            programs[name] = str(found)
    extension = next((p for s in SOURCES if (p := s / "vscode" / VSIX).is_file()), None)
    given, lack = b"", ""
    if extension:
        digest = hashlib.sha256(durable.read(extension, at_most=MOST_BYTES)).hexdigest()
        given = "".join(f"{digest}  {program}\n" for program in programs.values()).encode()
    else:
        lack = (
            f"{SOURCES[0] / 'vscode' / VSIX}: the extension was not built when Afterword was; in "
            "the source tree: make vsix, then install Afterword again"
        )
    if extension and not programs:
        lack = (
            f"no program of {', '.join(KIN)} is on PATH; in the editor, Extensions: Install from "
            f"VSIX, {extension}"
        )
    return Plugin(
        editors=[KIN[name][0] for name in programs],
        folder=paths.data / "editors",
        files={"server": f"{_server(environ)}\n".encode(), "extension": given},
        made_here="server",
        mark="/",
        giving=[
            (program, "--install-extension", str(extension), "--force")
            for program in programs.values()
        ],
        taking_back=[
            (program, "--uninstall-extension", EXTENSION) for program in programs.values()
        ],
        lack=lack,
    )


def page() -> Path | None:
    """What there is to read for editors that take no plug-in; None if it did not come along."""
    return next((path for source in SOURCES if (path := source / PAGE).is_file()), None)


def sections_for(editor: str) -> list[str]:
    """The sections of that page for an editor, or for what speaks LSP in one, such as "coc"."""
    path = page()
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    names = {title: re.split(", (?:with )?", title.casefold()) for title in titles}
    return [title for title in titles if any(one.startswith(editor) for one in names[title])]


def plan(plugin: Plugin, *, installing: bool) -> Iterator[str]:
    """What `install` or `remove` would do, line by line. Raises PluginError."""
    _require_own(plugin)
    if installing:
        _require_editor(plugin)
        yield from (f"would run: {' '.join(command)}" for command in plugin.giving)
        text = plugin.files[plugin.made_here].decode()
        yield f"would write {plugin.folder / plugin.made_here}:\n\n{text}"
        yield f"would write below {plugin.folder}:\n"
        yield from (f"  {name}" for name in plugin.files if name != plugin.made_here)
        return
    if not plugin.is_installed:
        yield "nothing to delete"
        return
    yield from (f"would run: {' '.join(command)}" for command in plugin.taking_back)
    yield f"would delete {plugin.folder}"


def install(plugin: Plugin) -> bool:
    """Put it in place, whatever version was there; False if it is there already.

    Where every program refuses, nothing is written; else what the others took, they have. Where
    writing fails or is interrupted, what was there before is there again. The caller sees to it
    that one process at a time is at work. Raises StateError or PluginError.
    """
    _require_own(plugin)
    _require_editor(plugin)
    _clear(plugin)
    problems = [f"{command[0]}: {what}" for command in plugin.giving if (what := _try(command))]
    is_new = not plugin.is_current
    if is_new and (not problems or len(problems) < len(plugin.giving)):
        _write(plugin)
    if problems:
        raise PluginError(
            f"{'; '.join(problems)}; by hand: in the editor, Extensions: Install from VSIX, "
            f"{plugin.giving[0][2]}"
        )
    return is_new


def remove(plugin: Plugin) -> bool:
    """Take it back; False if there was nothing. As for `install`, one process at a time.

    Raises StateError or PluginError.
    """
    _require_own(plugin)
    _clear(plugin)
    was_there = plugin.is_installed
    if was_there:
        for command in plugin.taking_back:
            _try(command)  # it may never have been there
    _delete(plugin)
    return was_there


def _write(plugin: Plugin) -> None:
    before = {
        path.relative_to(plugin.folder).as_posix(): durable.read(path, at_most=MOST_BYTES)
        for path in (plugin.folder / plugin.made_here, *sorted(plugin.folder.rglob("*")))
        if path.is_file()
    }
    try:
        _put(plugin, plugin.files)
    except BaseException:  # a full disk, or Ctrl-C
        with suppress(durable.StateError):  # what went wrong first is what is told
            _put(plugin, before)
        raise


def _put(plugin: Plugin, files: Mapping[str, bytes]) -> None:
    _delete(plugin)  # what another version had is no part of this one
    for name, data in files.items():
        durable.replace(plugin.folder / name, data)


def _delete(plugin: Plugin) -> None:
    # In this order: Neovim starts every folder there, under whatever name, and would start what is
    # left of this one when it is being deleted.
    if plugin.entry:
        durable.retire(plugin.folder / plugin.entry)
    durable.retire(plugin.folder)
    for folder in plugin.folder.parents[: plugin.n_above]:
        with suppress(OSError):  # it is not empty, or somebody's link
            durable.disk.remove_folder(folder)


def _clear(plugin: Plugin) -> None:
    """Remove what was left by a deletion that was cut short."""
    for left in plugin.folder.parent.glob(f"{plugin.folder.name}.*{durable.TOMB}"):
        durable.retire(left)


def _require_own(plugin: Plugin) -> None:
    if not plugin.is_foreign:
        return
    try:
        (plugin.folder / plugin.made_here).open("rb").close()
    except PermissionError:
        raise PluginError(f"{plugin.folder}: permission denied; change its owner or mode") from None
    except OSError:
        pass
    raise PluginError(
        f"{plugin.folder}: `afterword install` did not write this; move it away first"
    )


def _require_editor(plugin: Plugin) -> None:
    if plugin.lack:
        raise PluginError(plugin.lack)


# -- what is here ------------------------------------------------------------------------------


def _source(name: str) -> Path:
    """The folder with the plug-in for an editor. Raises PluginError."""
    for source in SOURCES:
        if (source / name).is_dir():
            return source / name
    raise PluginError(
        f"{SOURCES[0] / name}: this installation has no plug-in for it; install Afterword again"
    )


def _server(environ: Mapping[str, str]) -> Path:
    """The language server of this installation. Raises PluginError."""
    # Scripts lie beside Python in an environment of its own, and elsewhere without one.
    folders = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    path = os.pathsep.join([*folders, environ.get("PATH", "")])
    if found := shutil.which("afterword-lsp", path=path):
        return Path(found).absolute()
    raise PluginError(f"{folders[0]}: there is no afterword-lsp; install Afterword again")


def _home(environ: Mapping[str, str]) -> Path:
    """The user's home, as Neovim finds it. Raises PluginError."""
    try:
        return Path(environ.get("HOME") or Path.home())
    except RuntimeError:
        raise PluginError("HOME: it is not set, and the system knows no home; set it") from None


def _program(name: str, environ: Mapping[str, str]) -> Path | None:
    found = shutil.which(name, path=environ.get("PATH", ""))
    return Path(found) if found else None


def _applications(environ: Mapping[str, str], below: str) -> Iterator[Path]:
    for folder in ("/Applications", f"{environ.get('HOME', '')}/Applications"):
        yield Path(folder, below)


def _version_of(program: Path) -> tuple[int, ...] | None:
    """Of a Neovim; None if it does not say, as when it cannot be started here."""
    try:
        told = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"NVIM v(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _try(command: Sequence[str]) -> str:
    """Run an editor's program; what it complained of, "" if it worked."""
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",  # its words may be in the encoding of another locale
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    if result.returncode == 0:
        return ""
    lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit code {result.returncode}"


# -- what is made for Neovim -------------------------------------------------------------------


def _in_lua(path: Path) -> str:
    """A path as a literal of Lua."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _tags(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The index by which `:help` finds its pages, as `:helptags` would write it."""
    found = {
        tag: name.rpartition("/")[2]
        for name, data in files.items()
        if name.startswith("doc/") and name.endswith(".txt")
        for tag in re.findall(r"(?<![^\s])\*([^*\s|]+)\*(?![^\s])", data.decode())
    }
    lines = [f"{tag}\t{name}\t/*{_as_pattern(tag)}*\n" for tag, name in sorted(found.items())]
    return {"doc/tags": "".join(lines).encode()} if lines else {}


def _as_pattern(tag: str) -> str:
    return tag.replace("\\", "\\\\").replace("/", "\\/")
