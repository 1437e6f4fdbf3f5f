"""The verbs of `afterword` that put something in place beyond its own folders: install, uninstall.

Knows what to say of plug-ins and of the login, and which words mean which; how they are put in
place, `plugins` and `service` know.
"""

import argparse
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afterword_trainer import durable
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths
from afterword_trainer.terminal import DONE

from afterword_daemon import view
from afterword_daemon.commands import FailedError, UsageError

if TYPE_CHECKING:
    from afterword_daemon.plugins import Plugin
    from afterword_daemon.service import Service

LOCK = "install.lock"  # of one who installs or uninstalls, in the data folder
WAIT_S = 60.0  # for another one, who may be waiting for an editor
NEOVIMS_KEY = "vim.keymap.set('i', '<Tab>', '<Plug>(afterword-accept)')"


def install_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword install`, `uninstall`."""
    from afterword_daemon import plugins, service

    installing = options.command == "install"
    try:
        match options.what:
            case None:
                _show_what_there_is(paths, installing=installing)
            case "login":
                login = service.of_this_system()
                _install_login(login, options, paths, installing=installing)
            case "neovim":
                _install_plugin(plugins.neovim(), options, paths, installing=installing)
            case "vscode":
                _install_plugin(plugins.vscode(paths), options, paths, installing=installing)
            case _:
                raise UsageError(_nothing_for(options.what, options.command))
    except (plugins.PluginError, service.ServiceError) as error:
        raise FailedError(str(error)) from error
    except StateError as error:
        path = Path(str(error).partition("; ")[0].rpartition(": ")[0])
        told = _refused_there(path, error.__cause__, options.what, paths)
        raise FailedError(told or str(error)) from error
    except OSError as error:  # where not even looking is allowed
        told = _refused_there(Path(error.filename or ""), error, options.what, paths)
        if not told:
            raise
        raise FailedError(told) from error
    return DONE


def _show_what_there_is(paths: Paths, *, installing: bool) -> None:
    """What could be set up here, or taken back; without a name, neither is done."""
    verb = "install" if installing else "uninstall"
    rows = [row for row in _what_there_is(paths) if installing or row.is_there]
    if not rows:
        view.put("nothing is set up, in no editor and not at login")
        return
    view.put("what there is to set up" if installing else "what is set up")
    for row in rows:
        view.put(f"  {view.painted(f'{row.name:<9}', view.CYAN)}{row.sentence}")
    if installing:
        what = f"any editor that speaks LSP starts afterword-lsp; the lines: {_page()}"
        view.put(f"  {'others':<9}{what}")
    # Nothing is recommended for an editor that is not here, or that has it already.
    first = next((row.name for row in rows if row.is_wanted or not installing), None)
    if first is None:
        return
    view.put(
        view.hints(
            f"afterword {verb} {first} --dry-run    (what would be done)",
            f"afterword {verb} {first}",
        )
    )


class _Row(NamedTuple):
    name: str
    sentence: str
    is_there: bool  # set up, by us
    is_wanted: bool = False  # its editor is here, and has not got it


def _what_there_is(paths: Paths) -> Iterator[_Row]:
    from afterword_daemon import plugins, service

    makers: Mapping[str, Callable[[], Plugin]] = {
        "neovim": plugins.neovim,
        "vscode": lambda: plugins.vscode(paths),
    }
    for name, make in makers.items():
        try:
            plugin = make()
        except plugins.PluginError as error:
            yield _Row(name, str(error), False)
            continue
        if plugin.is_foreign:
            sentence = f"{plugin.folder}: somebody else's, so it is left alone"
        elif plugin.is_current:
            sentence = f"set up: {plugin.folder}"
        elif plugin.is_installed:
            sentence = f"set up by another version, or for other editors: {plugin.folder}"
        elif plugin.editors and plugin.lack:
            sentence = plugin.lack
        elif plugin.editors:
            n_files = view.n_of(len(plugin.files), "file")
            given = "the extension, and " if plugin.giving else ""
            sentence = f"for {', '.join(plugin.editors)}: {given}{n_files} in {plugin.folder}"
        else:
            sentence = "no such editor was found here"
        is_there = plugin.is_installed and not plugin.is_foreign
        yield _Row(
            name,
            sentence,
            is_there,
            bool(plugin.editors) and not (plugin.is_current or plugin.lack),
        )
    try:
        login = service.of_this_system()
    except service.ServiceError as error:
        yield _Row("login", str(error), False)
        return
    if login.is_installed and not login.is_foreign:
        yield _Row("login", f"set up: {login.path}", True)
    else:
        what = "the daemon ready when you log in; editors start it by themselves as well"
        yield _Row("login", what, False)


def _install_login(
    login: "Service", options: argparse.Namespace, paths: Paths, *, installing: bool
) -> None:
    from afterword_daemon import service

    if options.dry_run:
        for line in service.plan(login, installing=installing):
            print(line)
        return
    with durable.locked(paths.data / LOCK, wait_s=WAIT_S):
        is_new = service.install(login) if installing else service.remove(login)
    if installing:
        view.put(
            f"{'written' if is_new else 'there already'}: {login.path}\n"
            "the daemon will be there after the next login\n"
            + view.hints("afterword uninstall login    (undo)")
        )
    elif is_new:
        print(f"removed: {login.path}")
    else:
        print(f"there is nothing to remove: {login.path}")


def _install_plugin(
    plugin: "Plugin", options: argparse.Namespace, paths: Paths, *, installing: bool
) -> None:
    from afterword_daemon import plugins

    if options.dry_run:
        for line in plugins.plan(plugin, installing=installing):
            print(line)
        return
    with durable.locked(paths.data / LOCK, wait_s=WAIT_S):
        has_changed = plugins.install(plugin) if installing else plugins.remove(plugin)
    if not installing:
        told = "removed" if has_changed else "there is nothing to remove"
        print(f"{told}: {plugin.folder}")
        return
    n_files = view.n_of(len(plugin.files), "file")
    comes = "suggestions come as you type, from the next start on"
    if plugin.editors:
        first = f"{', '.join(plugin.editors)}: {comes}"
    else:
        first = f"there is no nvim on PATH; once there is: {comes}"
    hints = []
    if options.what == "neovim":  # whose keys are the user's own
        hints = [
            f"in init.lua, for the key that takes them: {NEOVIMS_KEY}",
            f'with lazy.nvim, which loads no packages: {{ dir = "{plugin.folder}" }}',
        ]
    else:
        first += "; Tab takes them"
    hints.append(f"afterword uninstall {options.what}    (undo)")
    told = "written" if has_changed else "there already"
    view.put(f"{told}: {plugin.folder} ({n_files})\n{first}\n{view.hints(*hints)}")


# -- what cannot be done -----------------------------------------------------------------------


def _nothing_for(what: str, command: str) -> str:
    """Why there is nothing of that name, and where to look instead."""
    from afterword_daemon import doctor, plugins

    name = what.casefold()
    if name in plugins.KIN or name.startswith(("vs", "visual")):
        return f"there is no {what!r} to set up; afterword {command} vscode    (did you mean that?)"
    name = doctor.EDITORS.get(name, name).casefold()
    if name in ("nvim", "neovim"):
        return f"there is no {what!r} to set up; afterword {command} neovim    (did you mean that?)"
    if name and (sections := plugins.sections_for(name)):
        quoted = " and ".join(f'"{section}"' for section in sections)
        return f"{what} takes no plug-in, but a few lines in its settings; {_page()}, at {quoted}"
    return f"there is no {what!r} to set up; afterword {command}    (what there is)"


def _page() -> str:
    from afterword_daemon import plugins

    return str(plugins.page() or "editors/README.md")


# What moves the folder of one, as AFTERWORD_HOME moves what is ours.
_MOVED_BY = {"neovim": "XDG_DATA_HOME, for Neovim as well,"}
_REFUSED = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
}


def _refused_there(path: Path, cause: object, what: str | None, paths: Paths) -> str:
    """A sentence for what is refused outside of our folders; "" for anything else.

    AFTERWORD_HOME is no remedy there. It names the folder that refuses, not what was to be in it.
    """
    code = cause.errno if isinstance(cause, OSError) else None
    if code not in _REFUSED or not path.is_absolute() or path.is_relative_to(paths.data):
        return ""
    folder = next(one for one in path.parents if os.path.isdir(one))  # noqa: PTH112, never raises
    remedies = [] if code == errno.EROFS else ["change its owner or mode"]
    if variable := _MOVED_BY.get(what or ""):
        remedies.append(f"set {variable} to a folder that can be written")
    return f"{folder}: {_REFUSED[code]}; {', or '.join(remedies) or 'make it writable'}"
