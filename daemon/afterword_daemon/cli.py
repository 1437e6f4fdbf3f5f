"""`afterword`: the command line. Parses, calls one function of `commands`, turns errors into words.

Knows what may be typed; knows nothing of what comes of it. Imports nothing heavy, so that
`afterword --help` answers before the finger leaves Enter.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from afterword_trainer.model import NotBuiltError
from afterword_trainer.terminal import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_RUNNING,
    TERMINATED,
    USAGE,
    Parser,
    Terminated,
    end_with_the_pipe,
    number,
    obey_signals,
    open_streams,
    output_problem,
    tell,
)

OVERVIEW = """\
The words you would have written next, in every editor. Everything stays on this machine.

  afterword demo              type with grey text, here and now; changes nothing
  trainer learn ~/notes       teach it your own writing
  afterword doctor            what is wrong, and the remedy
"""

# Every verb, in the order in which they are told, and what it is for.
VERBS = {
    "every day": {
        "demo": "type with grey text in the terminal; changes nothing",
        "complete": "what could come next, for a text given here",
        "status": "how the daemon is: model, answers, memory, files",
        "stats": "keys saved and suggestions taken, counted on this machine",
    },
    "learning": {
        "learn": "the same as `trainer learn`",
        "watch": "folders to learn from by itself: add, remove, list",
        "pause": "learn nothing more until `resume`; suggestions go on",
        "resume": "learn again",
    },
    "the daemon": {
        "start": "start it, as the first editor would",
        "stop": "stop it; the next editor starts it again",
        "restart": "stop it and start it",
        "run": "be the daemon, in the foreground",
        "logs": "the last lines of its log",
    },
    "care": {
        "doctor": "check everything, and say what to do; changes nothing",
        "config": "settings: where they are, what is wrong with them",
        "install": "plug-ins for editors, start with the login; on request only",
        "uninstall": "undo `install`",
    },
}

COMPLETE = """\
Ask for what could come next. The suggestion alone goes to standard output.

  afterword complete --prompt 'I have been thinking ab'
  git log -1 --format=%B | afterword complete --count 3
"""

CONFIG = """\
Settings: one file, all of it optional.

  afterword config            where it is, and what it sets
  afterword config write      write it, with every setting explained
  afterword config check      what is wrong with it, line by line
"""

WATCH = """\
Folders to learn from by itself: a file that is saved is expected in the next suggestion, and
learned for good when the machine has nothing better to do.

  afterword watch add ~/notes       learn from it, from now on
  afterword watch remove ~/notes    no more, and forget its files in the memory
  afterword watch                   which they are, and how they are watched

`.gitignore`, `.afterwordignore` and `.nolearn` are honoured; secrets are left out.
"""

INSTALL = """\
Set something up, on request only; each says what it writes, and can be undone.

  afterword install                     which editors are here, and what there is for them
  afterword install neovim              the plug-in, where Neovim finds it by itself
  afterword install vscode              the extension, for VS Code, VSCodium, Cursor, code-server
  afterword install login               have the daemon ready when you log in
  afterword install neovim --dry-run    show what would be done; so for each of them
  afterword uninstall neovim            undo that; so for each of them

Other editors take a few lines in their settings: afterword install emacs says where they stand.
All of them start the daemon by themselves, so that hardly anybody needs `login`.
"""

UNINSTALL = """\
Undo what `afterword install` did; models, settings and what was learned stay as they are.

  afterword uninstall                     what is set up here
  afterword uninstall neovim              delete the plug-in
  afterword uninstall vscode              take the extension back from every editor that has it
  afterword uninstall login               no start at login any more
  afterword uninstall neovim --dry-run    show what would be done; so for each of them

What somebody else put in their place is left alone.
"""

EPILOGUE = """\
Exit codes: 0 done, 1 failed or unhealthy, 2 wrong usage, 3 the daemon is not running,
130 interrupted, 143 ended by SIGTERM.
AFTERWORD_HOME=DIR keeps everything that Afterword writes under one folder.
NO_COLOR: no colour.
"""


class _Version(argparse.Action):
    """What this is and where its files lie: the first thing to look at when something is odd."""

    def __call__(self, *_: object) -> NoReturn:
        from afterword_trainer.paths import Paths

        from afterword_daemon.endpoint import build

        paths = Paths.from_environment()
        print(f"Afterword {build()}, Python {sys.version.split()[0]}")
        for name, path in (
            ("settings", paths.config),
            ("models and reports", paths.data),
            ("what can be made again", paths.cache),
            ("socket", paths.runtime),
            ("logs", paths.logs),
        ):
            print(f"{name:<24}{path}")
        sys.exit(DONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `afterword`; the exit code."""
    open_streams()
    arguments = sys.argv[1:] if arguments is None else [*arguments]
    if arguments[:1] == ["help"]:  # as other programs have it
        arguments = [*arguments[1:2], "--help"]
    if arguments[:1] == ["learn"]:  # the trainer's verb, in a process that may be as heavy
        os.execv(sys.executable, [sys.executable, "-m", "afterword_trainer.cli", *arguments])
    obey_signals()
    try:
        try:
            options = build_parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # of --help and --version
        return _run(options)
    except NotBuiltError as error:
        tell(error)
        return FAILED
    except BrokenPipeError:
        return end_with_the_pipe()
    except OSError as error:
        problem = output_problem(error)
        if not problem and (not error.filename or "--debug" in arguments):
            raise
        tell(problem or f"{error.filename}: {(error.strerror or 'it cannot be used').lower()}")
        return FAILED
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    from afterword_daemon import client, commands

    try:
        code = commands.run(options)
        sys.stdout.flush()
    except commands.EXPECTED_ERRORS as error:
        if options.debug:
            raise
        tell(error)
        if isinstance(error, commands.UsageError):
            return USAGE
        return NOT_RUNNING if isinstance(error, client.NotRunningError) else FAILED
    return code


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command; the one place where options are declared."""
    told = "".join(
        f"\n{group}:\n" + "".join(f"  {verb:<12}{what}\n" for verb, what in verbs.items())
        for group, verbs in VERBS.items()
    )
    parser = Parser(
        prog="afterword",
        usage="afterword [COMMAND] [--help]",
        description=OVERVIEW + told,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="the version, and where things are kept"
    )
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    further = {
        "complete": COMPLETE,
        "config": CONFIG,
        "watch": WATCH,
        "install": INSTALL,
        "uninstall": UNINSTALL,
    }
    verbs = {
        verb: commands.add_parser(
            verb,
            prog=f"afterword {verb}",
            description=further.get(verb, f"{what[0].upper()}{what[1:]}."),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for group in VERBS.values()
        for verb, what in group.items()
    }
    _add_options(verbs)
    return parser


def _add_options(verbs: Mapping[str, argparse.ArgumentParser]) -> None:
    """What each verb takes."""
    complete = verbs["complete"]
    complete.add_argument(
        "--prompt", metavar="TEXT", help="text to go on from (or -: standard input)"
    )
    complete.add_argument(
        "--count", type=_alternatives, default=1, help="of suggestions at most (1)"
    )
    complete.add_argument("--temperature", type=_temperature, help="0 to 2 (as it is set, or 0)")
    verbs["status"].add_argument(
        "--files", action="store_true", help="where every file of the daemon's lies"
    )
    verbs["stats"].add_argument(
        "action",
        nargs="?",
        choices=("on", "off", "clear"),
        metavar="on|off|clear",
        help="count, do not count, forget what was counted",
    )
    verbs["logs"].add_argument("--lines", "-n", type=_count, default=40, help="how many (40)")
    verbs["logs"].add_argument(
        "--follow", "-f", action="store_true", help="go on with what is added"
    )
    verbs["doctor"].add_argument("checks", nargs="*", metavar="CHECK", help="these alone (all)")
    verbs["doctor"].add_argument("--list", action="store_true", help="which checks there are")
    verbs["config"].add_argument(
        "action", nargs="?", choices=("write", "check"), metavar="write|check", help="see above"
    )
    verbs["watch"].add_argument(
        "action",
        nargs="?",
        choices=("add", "remove", "list"),
        default="list",
        metavar="add|remove|list",
        help="see above",
    )
    verbs["watch"].add_argument("folders", nargs="*", metavar="FOLDER", help="to add or remove")
    verbs["run"].add_argument(
        "--stay", action="store_true", help="do not end when nobody is connected"
    )
    for verb in ("install", "uninstall"):
        verbs[verb].add_argument("what", nargs="?", metavar="neovim|vscode|login", help="see above")
        verbs[verb].add_argument(
            "--dry-run", action="store_true", help="only show what would be done"
        )
    for verb in ("complete", "status", "stats", "watch", "doctor", "config"):
        verbs[verb].add_argument(
            "--json", action="store_true", help="for programs: JSON on standard output"
        )


_count = number(1, 100_000, int)
_alternatives = number(1, 10, int)  # as many as the daemon gives
_temperature = number(0, 2, float)


if __name__ == "__main__":
    sys.exit(main())
