"""The verbs of `afterword` that set something: watch, pause, resume, config, install.

Knows what to write where, and whom to tell; what settings mean, `config` knows.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from afterword_trainer.paths import Paths
from afterword_trainer.terminal import DONE, FAILED

from afterword_daemon import pause, view
from afterword_daemon.client import Connection, LostError, NotRunningError
from afterword_daemon.commands import NAME, FailedError, UsageError, status_of
from afterword_daemon.protocol import Status, Watched

if TYPE_CHECKING:
    from afterword_daemon.plugins import Plugin
    from afterword_daemon.service import Service

ENDING_S = 2.0  # a daemon that is ending is gone by then
NEOVIMS_KEY = "vim.keymap.set('i', '<Tab>', '<Plug>(afterword-accept)')"


def watch_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword watch`."""
    from afterword_daemon import config

    if options.action == "list" and options.folders:
        raise UsageError(
            "`afterword watch list` lists all; to name one: afterword watch add FOLDER"
        )
    if options.action != "list" and not options.folders:
        raise UsageError(f"which folder? afterword watch {options.action} FOLDER")
    asked = [Path(folder).expanduser().absolute() for folder in options.folders]
    add, remove = (asked if options.action == verb else () for verb in ("add", "remove"))
    try:
        now = config.watched(paths, add=add, remove=remove)
    except (config.ConfigError, config.WatchError) as error:
        raise UsageError(str(error)) from error
    status = status_of(paths) if options.action == "list" else _reloaded(paths)
    known = {one.path: one for one in status.watched} if status else {}
    folders = [known.get(str(folder), Watched(path=str(folder))) for folder in now]
    if options.json:
        print(json.dumps(msgspec.to_builtins(folders)))
        return DONE
    for line in view.watched(folders):
        view.put(line)
    if options.action == "add":
        view.put(view.hints(f"afterword watch remove {options.folders[0]}    (undo)"))
    elif status is None:
        view.put(view.NOT_RUNNING)
    return DONE


def _reloaded(paths: Paths) -> Status | None:
    """How the daemon is, after it has taken up the settings; None if it is not running."""
    try:
        with Connection.open(paths, spawn=False, client=NAME) as connection:
            connection.ask("reload")
            return connection.status()
    except NotRunningError:
        return None


def pause_command(command: str, paths: Paths) -> int:
    """`afterword pause`, `resume`."""
    is_paused = command == "pause"
    # Written down first: it holds for every daemon, and without one.
    pause.put(paths, is_paused=is_paused)
    give_up = time.monotonic() + ENDING_S
    with suppress(NotRunningError):
        while not _is_told(paths, "pause" if is_paused else "resume", give_up):
            pass
    if is_paused:
        view.put(
            "nothing more is learned; suggestions go on\n"
            + view.hints("afterword resume    (undo)")
        )
    else:
        print("learning goes on")
    return DONE


def _is_told(paths: Paths, what: Literal["pause", "resume"], give_up: float) -> bool:
    """Whether the daemon has answered; False if it was just ending, and another may be there."""
    try:
        with Connection.open(paths, spawn=False, client=NAME) as connection:
            connection.ask(what)
    except LostError:
        if time.monotonic() > give_up:
            raise
        return False
    return True


def config_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword config`."""
    from afterword_daemon import config

    path = config.path_of(paths)
    if options.action == "write":
        if path.exists():
            raise FailedError(f"{path}: there is one already; edit it, or move it away first")
        config.write_template(paths)
        print(json.dumps({"path": str(path), "written": True}) if options.json else path)
        return DONE
    mistakes: Sequence[str] = ()
    hint = ""
    try:
        settings = config.load(paths)
    except config.ConfigError as error:
        settings, mistakes = error.settings, error.mistakes
        hint = config.NOTHING_HOLDS if error.is_unreadable else config.REST_HOLDS
    if options.json:
        values = asdict(settings) | {"watch": [*map(str, settings.watch)]}
        found = {"path": str(path), "exists": path.exists(), "mistakes": mistakes}
        print(json.dumps(found | {"settings": values}))
        return FAILED if mistakes else DONE
    if mistakes:
        # Not a sentence but a list: one line for each, as a compiler would.
        sys.stderr.write(f"error: {path}\n" + "".join(f"  {mistake}\n" for mistake in mistakes))
        sys.stderr.write(f"\nhint: {hint}\n")
        return FAILED
    if options.action == "check":
        print(f"{path}: all is well" if path.exists() else f"{path}: there is none, which is well")
        return DONE
    view.put(f"{path}" if path.exists() else f"{path} (there is none: all defaults)")
    for name, value in config.flat(settings):
        view.put(f"  {name:<26}{value}")
    if not path.exists():
        view.put(view.hints("afterword config write    (the file, with every setting explained)"))
    return DONE


def install_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword install`, `uninstall`."""
    from afterword_daemon import plugins, service

    installing = options.command == "install"
    try:
        if options.what is None:
            _show_what_there_is(paths, installing=installing)
        elif options.what == "login":
            _install_login(service.of_this_system(), options, installing=installing)
        else:
            plugin = plugins.neovim() if options.what == "neovim" else plugins.vscode(paths)
            _install_plugin(plugin, options, installing=installing)
    except (plugins.PluginError, service.ServiceError) as error:
        raise FailedError(str(error)) from error
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
        what = "any editor that speaks LSP starts afterword-lsp; the lines: editors/README.md"
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


def _install_login(login: "Service", options: argparse.Namespace, *, installing: bool) -> None:
    from afterword_daemon import service

    if options.dry_run:
        for line in service.plan(login, installing=installing):
            print(line)
    elif installing:
        service.install(login)
        view.put(
            f"written: {login.path}\nthe daemon will be there after the next login\n"
            + view.hints("afterword uninstall login    (undo)")
        )
    elif service.remove(login):
        print(f"removed: {login.path}")
    else:
        print(f"there is nothing to remove: {login.path}")


def _install_plugin(plugin: "Plugin", options: argparse.Namespace, *, installing: bool) -> None:
    from afterword_daemon import plugins

    if options.dry_run:
        for line in plugins.plan(plugin, installing=installing):
            print(line)
    elif installing:
        plugins.install(plugin)
        n_files = view.n_of(len(plugin.files), "file")
        editors = ", ".join(plugin.editors) or "Neovim"
        taken, hints = "; Tab takes them", []
        if options.what == "neovim":  # whose keys are the user's own
            taken = ""
            hints = [
                f"in init.lua, for the key that takes them: {NEOVIMS_KEY}",
                f'with lazy.nvim, which loads no packages: {{ dir = "{plugin.folder}" }}',
            ]
        hints.append(f"afterword uninstall {options.what}    (undo)")
        view.put(
            f"written: {plugin.folder} ({n_files})\n"
            f"{editors}: suggestions come as you type, from the next start on{taken}\n"
            + view.hints(*hints)
        )
    elif plugins.remove(plugin):
        print(f"removed: {plugin.folder}")
    else:
        print(f"there is nothing to remove: {plugin.folder}")
