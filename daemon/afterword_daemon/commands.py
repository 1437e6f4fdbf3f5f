"""The verbs of `afterword`, one function each: options in, lines on the terminal out.

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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths
from afterword_trainer.terminal import DONE, FAILED, NOT_RUNNING
from afterword_trainer.view import visible

from afterword_daemon import client, endpoint, pause, view
from afterword_daemon.client import Connection, DaemonError, LostError, NotRunningError
from afterword_daemon.protocol import Complete, Options, Status, Watched


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
COMPLETE, DEMO = "afterword complete", "afterword demo"  # documents that no editor has
PROMPT_CHARACTERS = 8_000  # of a prompt, its last: a second; the network recalls far less
ENDING_S = 2.0  # a daemon that is ending is gone by then


def run(options: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    paths = Paths.from_environment()
    match options.command:
        case None:
            return overview_command(paths)
        case "status":
            return status_command(options, paths)
        case "doctor":
            return doctor_command(options, paths)
        case "complete":
            return complete_command(options, paths)
        case "demo":
            return demo_command(paths)
        case "start" | "stop" | "restart":
            return process_command(options.command, paths)
        case "run":
            return run_command(options, paths)
        case "logs":
            return logs_command(options, paths)
        case "stats":
            return stats_command(options, paths)
        case "watch":
            return watch_command(options, paths)
        case "pause" | "resume":
            return pause_command(options.command, paths)
        case "config":
            return config_command(options, paths)
        case "install" | "uninstall":
            return install_command(options)
    raise AssertionError(f"{options.command} has a parser and no function")


# -- how it is ---------------------------------------------------------------------------------


def overview_command(paths: Paths) -> int:
    """`afterword` alone: where one stands, and what to type next."""
    status = _status(paths)
    view.put("Afterword offers the words you would have written next. It never uses the network.\n")
    if status is None:
        view.put(view.NOT_RUNNING)
        has_learned = paths.models.is_dir()
    else:
        view.put(view.headline(status, time.time()))
        has_learned = status.model is not None and status.model.id != "base"
    if not has_learned:
        view.put("  nothing of yours was learned yet; the base model completes a little already")
    for text in _notices(paths, status):
        view.put(view.notice(text))
    steps = [("afterword demo", "type with it here; changes nothing")]
    if has_learned:
        steps.append(("afterword status", "how it is"))
    else:
        steps.append(("trainer learn ~/notes", "teach it your writing"))
    if not (status and status.watched):
        steps.append(("afterword watch add ~/notes", "have it learn what you save there"))
    steps.append(("afterword doctor", "see whether all is well"))
    view.put("")
    for command, what in steps:
        view.put(f"  {view.painted(f'{command:<29}', view.CYAN)}{what}")
    return DONE


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
    status = _status(paths)
    if options.json:
        facts = msgspec.to_builtins(status) if status else {}
        print(json.dumps({"running": status is not None} | facts))
    elif status is None:
        view.put(view.NOT_RUNNING + "\n" + view.hints("afterword start"))
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
    path = paths.logs / "daemon.log"
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


def stats_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword stats`."""
    from afterword_daemon import config
    from afterword_daemon.tally import Tally

    if options.action in ("on", "off"):
        try:
            config.put(paths, "stats", "true" if options.action == "on" else "false")
        except config.ConfigError as error:
            raise FailedError(str(error)) from error
        print(f"counting is {options.action}")
        return DONE
    latency = None
    try:
        with Connection.open(paths, spawn=False, client=NAME) as connection:
            if options.action == "clear":
                connection.ask("clear-stats")
            facts = connection.ask("stats")
            latency = connection.status().latency_ms
    except NotRunningError:  # nobody has to be started to read a file
        tally = Tally(paths.data / "counts.json")
        if options.action == "clear":
            tally.clear()
        facts = tally.facts()
    if options.action == "clear":
        print("what was counted is forgotten")
        return DONE
    try:
        is_on = config.load(paths).stats
    except config.ConfigError as error:
        is_on = error.settings.stats  # as the daemon has it
    if options.json:
        latency_ms = msgspec.to_builtins(latency)
        print(json.dumps(facts | {"latency_ms": latency_ms, "counting": is_on}))
    else:
        for line in view.stats(facts, latency, date.today(), is_on=is_on):
            view.put(line)
    return DONE


# -- what it writes ----------------------------------------------------------------------------


def complete_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword complete`."""
    prompt = options.prompt
    if prompt == "-" or (prompt is None and not sys.stdin.isatty()):
        prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    if not prompt and options.prompt is None:
        raise UsageError(
            "there is no text to go on from; afterword complete --prompt 'The thing is'"
        )
    prompt = prompt.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    with _connected(paths) as connection:
        completed = connection.complete(
            Complete(
                id=0,
                document=COMPLETE,
                before=prompt[-PROMPT_CHARACTERS:],
                invoked=True,
                options=Options(alternatives=options.count, temperature=options.temperature),
            )
        )
        why = connection.ask("why", document=COMPLETE) if not completed.items else {}
    items = completed.items[: options.count]
    if options.json:
        found = [{"text": item.text, "probability": item.probability} for item in items]
        reason = completed.reason or None
        print(json.dumps({"suggestions": found, "reason": reason, "model": completed.model}))
        return DONE
    raw = not sys.stdout.isatty()  # a model may write what a terminal would obey
    for item in items:
        print(item.text if raw else visible(item.text, keep="\n\t"))
    if not items:
        what = why.get("explanation", completed.reason)
        if completed.reason == "disabled" and connection.changed and connection.changed.detail:
            what += f"; {connection.changed.detail}"  # it may be nothing that anybody has set
        sys.stderr.write(f"no suggestion: {what}\n")
    return DONE


def demo_command(paths: Paths) -> int:
    """`afterword demo`."""
    from afterword_daemon import demo

    try:
        demo.require_terminal()
    except demo.DemoError as error:
        raise UsageError(str(error)) from None
    connection = _connected(paths)

    def ask(text: str) -> str:
        nonlocal connection
        try:
            return _first(connection, text)
        except LostError:  # it was stopped or replaced; what was written is not lost for that
            connection.close()
            connection = Connection.open(paths, spawn=True, client=NAME)
            return _first(connection, text)

    model = connection.status().model
    page = demo.run(ask, f"Afterword, a demo · {view.model(model, time.time())}")
    connection.close()
    if page.text:
        view.put(demo.footer(page, None))
    view.put(view.hints("trainer learn ~/notes    (teach it your own writing)"))
    return DONE


def _first(connection: Connection, text: str) -> str:
    completed = connection.complete(Complete(id=0, document=DEMO, before=text[-PROMPT_CHARACTERS:]))
    return completed.items[0].text if completed.items else ""


# -- the process -------------------------------------------------------------------------------


def process_command(command: str, paths: Paths) -> int:
    """`afterword start`, `stop`, `restart`."""
    if command == "start" and _status(paths) is not None:
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
            sys.stderr.write(f"serving; the log is {paths.logs / 'daemon.log'}; Ctrl-C ends it\n")
        elif what == endpoint.OTHER:
            sys.stderr.write("error: a daemon is running already\n\nhint: afterword stop\n")

    return process.run(paths, stay=options.stay, report=report)


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
    status = _status(paths) if options.action == "list" else _reloaded(paths)
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


# -- setting it up -----------------------------------------------------------------------------


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


def install_command(options: argparse.Namespace) -> int:
    """`afterword install`, `uninstall`."""
    from afterword_daemon import service

    try:
        login = service.of_this_system()
        installing = options.command == "install"
        if options.dry_run:
            for line in service.plan(login, installing=installing):
                print(line)
            return DONE
        if installing:
            service.install(login)
            view.put(
                f"written: {login.path}\nthe daemon will be there after the next login\n"
                + view.hints("afterword uninstall login    (undo)")
            )
        elif service.remove(login):
            print(f"removed: {login.path}")
        else:
            print(f"there is nothing to remove: {login.path}")
    except service.ServiceError as error:
        raise FailedError(str(error)) from error
    return DONE


# -- shared by the verbs -----------------------------------------------------------------------


def _status(paths: Paths) -> Status | None:
    """How the daemon is; None if it is not running."""
    try:
        with Connection.open(paths, spawn=False, client=NAME) as connection:
            return connection.status()
    except NotRunningError:
        return None


def _connected(paths: Paths) -> Connection:
    """A connection, for which the daemon is started if need be."""
    try:
        return Connection.open(paths, spawn=False, client=NAME)
    except DaemonError:
        sys.stderr.write("starting the daemon\n")
        return Connection.open(paths, spawn=True, client=NAME)
