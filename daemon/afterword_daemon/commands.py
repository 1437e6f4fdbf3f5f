"""The verbs of `afterword`, one function each: options in, lines on the terminal out.

Those that tell how the daemon is and care for its process stand here, those that have it write in
`asking`, those that set something in `setting`, those for editors and the login in `installing`.
Knows what to ask of whom, and what to say then; how it looks, `view` knows. `--json` writes JSON
and nothing else on standard output.
Each verb imports what it needs when it is called: `status` and `--help` must not wait for numpy.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict

import msgspec
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths
from afterword_trainer.terminal import DONE, FAILED, NOT_RUNNING

from afterword_daemon import client, endpoint, pause, starting, view
from afterword_daemon.client import Connection, DaemonError, NotRunningError
from afterword_daemon.protocol import Status


class UsageError(Exception):
    """Something was asked for that there is not; one sentence with its remedy."""


class FailedError(Exception):
    """What was asked for cannot be done as things are; one sentence with its remedy."""


# What `cli.main` says in one sentence; anything else is a defect and shows its traceback. Modules
# that import much have their errors turned into this one where they are called.
EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    DaemonError,
    FailedError,
    StateError,
    UsageError,
    endpoint.EndpointError,
)
NAME = "afterword"  # as the daemon's log calls us


def run(options: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from afterword_daemon import asking, installing, setting

    paths = Paths.from_environment()
    match options.command:
        case None:
            return overview_command(paths)
        case "status":
            return status_command(options, paths)
        case "doctor":
            return doctor_command(options, paths)
        case "start" | "stop" | "restart":
            return process_command(options.command, paths)
        case "run":
            return run_command(options, paths)
        case "logs":
            return logs_command(options, paths)
        case "complete":
            return asking.complete_command(options, paths)
        case "demo":
            return asking.demo_command(paths)
        case "stats":
            return asking.stats_command(options, paths)
        case "watch":
            return setting.watch_command(options, paths)
        case "pause" | "resume":
            return setting.pause_command(options.command, paths)
        case "config":
            return setting.config_command(options, paths)
        case "install" | "uninstall":
            return installing.install_command(options, paths)
    raise AssertionError(f"{options.command} has a parser and no function")


# -- how it is ---------------------------------------------------------------------------------


def overview_command(paths: Paths) -> int:
    """`afterword` alone: where one stands, and what to type next."""
    status = status_of(paths)
    view.put("Afterword offers the words you would have written next. It never uses the network.\n")
    if status is None:
        view.put(view.not_running(starting.obstacle(paths)))
    else:
        view.put(view.headline(status, time.time()))
    has_learned = paths.models.is_dir() and any(path.is_dir() for path in paths.models.iterdir())
    if not has_learned:
        view.put("  nothing of yours was learned yet; the base model completes a little already")
    elif status and status.model and status.model.id == "base":
        view.put("  the base model serves now; those that learned from you: trainer models")
    for text in _notices(paths, status):
        view.put(view.notice(text))
    steps = [("afterword demo", "type with it here; changes nothing")]
    if has_learned:
        steps.append(("afterword status", "how it is"))
    else:
        steps.append(("trainer learn ~/notes", "teach it your writing"))
    if not _is_watching(paths, status):
        steps.append(("afterword watch add ~/notes", "have it learn what you save there"))
    steps.append(("afterword doctor", "see whether all is well"))
    view.put("")
    for command, what in steps:
        view.put(f"  {view.painted(f'{command:<29}', view.CYAN)}{what}")
    return DONE


def _is_watching(paths: Paths, status: Status | None) -> bool:
    """Whether there is a folder that is learned from, by the settings where no daemon runs."""
    if status:
        return bool(status.watched)
    if not any(paths.config.glob("*.toml")):
        return False
    from afterword_daemon import config

    return bool(config.in_force(paths)[0].watch)


def _notices(paths: Paths, status: Status | None) -> Iterator[str]:
    """What is off, or degraded, or cannot be read: each a sentence."""
    if status and status.detail:
        yield status.detail
    if pause.holds(paths):
        yield "learning is paused; to go on: afterword resume"
    if not any(paths.config.glob("*.toml")):
        return  # and need not wait for what reads settings
    from afterword_daemon import config

    # A daemon that runs goes on as before where nothing can be read.
    settings, problem = config.in_force(paths, config.Settings() if status else None)
    if problem and not (status and status.detail):
        yield problem
    if settings is config.SILENT:  # nobody switched that off
        return
    if not settings.enabled_for("*"):
        yield 'suggestions are off: enable."*" is false; afterword config'
    if not settings.learning.enable:
        yield "learning is off: learning.enable is false; afterword config"


def status_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword status`."""
    status = status_of(paths)
    obstacle = "" if status else starting.obstacle(paths)
    if options.json:
        facts = msgspec.to_builtins(status) if status else {"detail": obstacle} if obstacle else {}
        print(json.dumps({"running": status is not None} | facts))
    elif status is None:
        hint = "afterword doctor" if obstacle else "afterword start"
        view.put(view.not_running(obstacle) + "\n" + view.hints(hint))
    else:
        for line in view.files(status) if options.files else view.status(status, time.time()):
            view.put(line)
    return NOT_RUNNING if status is None else DONE


def doctor_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword doctor`."""
    from afterword_daemon import doctor

    unknown = [name for name in options.checks if name not in doctor.CHECKS]
    if unknown:
        raise UsageError(f"there is no check {unknown[0]!r}; afterword doctor --list")
    if options.list:
        for name, check in doctor.CHECKS.items():
            view.put(f"  {name:<{view.N_LABEL}} {check.__doc__}")
        return DONE
    states = []
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for finding in doctor.examine(paths, options.checks):
        states.append(finding.state)
        if options.json:
            print(json.dumps(asdict(finding)), flush=True)
            continue
        for line in view.finding(**asdict(finding), width=width):
            view.put(line)
    if not options.json:
        view.put(f"\n{view.verdict(states)}")
    return FAILED if "failed" in states else DONE


def logs_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword logs`."""
    path = paths.logs / endpoint.LOG
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise FailedError(f"{path}: there is no log yet; afterword start") from None
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        remedy = "make it a file that you can read, or move it away, then: afterword restart"
        raise FailedError(f"{path}: {reason}; {remedy}") from error
    with ExitStack() as open_files:
        open_files.push(file)
        for line in file.readlines()[-options.lines :]:
            sys.stdout.write(line)
        while options.follow:
            sys.stdout.flush()
            if line := file.readline():
                sys.stdout.write(line)
                continue
            time.sleep(0.2)
            with suppress(FileNotFoundError):  # one that has grown long is moved aside
                if path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                    file = open_files.enter_context(path.open(encoding="utf-8", errors="replace"))
    return DONE


# -- the process -------------------------------------------------------------------------------


def process_command(command: str, paths: Paths) -> int:
    """`afterword start`, `stop`, `restart`."""
    if command == "start" and status_of(paths) is not None:
        print("already running")
        return DONE
    stopped = "" if command == "start" else client.stop(paths, client=NAME)
    if stopped == "forced":
        print("it did not answer, and was stopped by force")
    elif command == "stop":
        print("stopped" if stopped else "not running")
    if command == "stop":
        return DONE
    with Connection.open(paths, spawn=True, client=NAME) as connection:
        view.put(view.headline(connection.status(), time.time()))
    if command == "start":
        view.put(view.hints("afterword stop    (undo)"))
    return DONE


def run_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword run`."""
    from afterword_daemon import process

    def report(what: bytes) -> None:
        if what == endpoint.READY:
            sys.stderr.write(f"serving; the log is {paths.logs / endpoint.LOG}; Ctrl-C ends it\n")
        elif what == endpoint.OTHER:
            sys.stderr.write("error: a daemon is running already\n\nhint: afterword stop\n")

    return process.run(paths, stay=options.stay, report=report)


# -- shared by the verbs -----------------------------------------------------------------------


def status_of(paths: Paths) -> Status | None:
    """How the daemon is; None if it is not running."""
    try:
        with Connection.open(paths, spawn=False, client=NAME) as connection:
            return connection.status()
    except NotRunningError:
        return None
