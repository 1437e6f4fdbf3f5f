"""The verbs of `afterword` that have the daemon write: complete, demo; and stats, what came of it.

Knows what to ask and what to print; knows nothing of how a text is shown.
"""

import argparse
import json
import sys
import time
from datetime import date

import msgspec
from afterword_trainer.paths import Paths
from afterword_trainer.terminal import DONE
from afterword_trainer.view import visible

from afterword_daemon import view
from afterword_daemon.client import Connection, DaemonError, LostError, NotRunningError
from afterword_daemon.commands import NAME, FailedError, UsageError
from afterword_daemon.protocol import Complete, Options

COMPLETE, DEMO = "afterword complete", "afterword demo"  # documents that no editor has
PROMPT_CHARACTERS = 8_000  # of a prompt, its last: a second; the network recalls far less


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


def _connected(paths: Paths) -> Connection:
    """A connection, for which the daemon is started if need be."""
    try:
        return Connection.open(paths, spawn=False, client=NAME)
    except DaemonError:
        sys.stderr.write("starting the daemon\n")
        return Connection.open(paths, spawn=True, client=NAME)


def stats_command(options: argparse.Namespace, paths: Paths) -> int:
    """`afterword stats`."""
    from afterword_daemon import config, tally

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
        counts = tally.Tally(paths.data / tally.NAME)
        if options.action == "clear":
            counts.clear()
        facts = counts.facts()
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
