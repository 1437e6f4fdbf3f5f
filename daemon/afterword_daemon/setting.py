"""The verbs of `afterword` that set something: watch, pause, resume, config.

Knows what to write where, and whom to tell; what settings mean, `config` knows.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import msgspec
from afterword_trainer.paths import Paths
from afterword_trainer.terminal import DONE, FAILED

from afterword_daemon import pause, view
from afterword_daemon.client import Connection, LostError, NotRunningError
from afterword_daemon.commands import NAME, FailedError, UsageError, status_of
from afterword_daemon.protocol import Status, Watched

ENDING_S = 2.0  # a daemon that is ending is gone by then


def watch_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword watch`."""
    from afterword_daemon import config

    if options.action == "list" and options.folders:
        raise UsageError(
            "`afterword watch list` lists all; to name one: afterword watch add FOLDER"
        )
    if options.action != "list" and not options.folders:
        raise UsageError(f"which folder? afterword watch {options.action} FOLDER")
    if "" in options.folders:
        raise UsageError("a folder's name is empty; afterword watch add FOLDER")
    asked = [config.whole_path(Path(folder).expanduser()) for folder in options.folders]
    add, remove = (asked if options.action == verb else () for verb in ("add", "remove"))
    try:
        before = config.watched(paths)
        now = config.watched(paths, add=add, remove=remove)
    except (config.ConfigError, config.WatchError) as error:
        raise UsageError(str(error)) from error
    status = status_of(paths) if options.action == "list" else _reloaded(paths)
    known = {one.path: one for one in status.watched} if status else {}
    folders = [known.get(str(folder), Watched(path=str(folder))) for folder in now]
    if options.json:
        print(json.dumps(msgspec.to_builtins(folders)))
        return DONE
    is_running = status is not None
    for line in view.watched(folders, is_paused=pause.holds(paths), is_running=is_running):
        view.put(line)
    changed = [folder for folder in dict.fromkeys(asked) if (folder in before) != (folder in now)]
    named = " ".join(shlex.quote(str(folder)) for folder in changed)
    if options.action == "add":
        for folder in {*asked}.difference(now):
            name = next(one for one in now if one.resolve() == folder.resolve())
            view.put(view.notice(f"{folder} is watched already, as {name}"))
        if named:
            view.put(view.hints(f"afterword watch remove {named}    (undo)"))
    elif options.action == "remove":
        undo = f"afterword watch add {named}    (undo)"
        forget = f"trainer forget {named if len(changed) == 1 else 'FOLDER'}"
        view.put(view.hints(undo, f"{forget}    (the model is to know nothing of it either)"))
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
