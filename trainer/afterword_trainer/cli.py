"""`trainer`: the command line. Parses, calls one function of `commands`, turns errors into words.

Imports nothing heavy, so that `trainer --help` answers before the finger leaves Enter.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from afterword_trainer.model import NotBuiltError
from afterword_trainer.terminal import (
    DONE,
    FAILED,
    INTERRUPTED,
    Parser,
    end_with_the_pipe,
    number,
    obey_signals,
    open_streams,
    tell,
)

OVERVIEW = """\
Teach Afterword your own writing. Everything stays on this machine.

  trainer corpus ~/notes      what would be learned, and what not; learns nothing
  trainer learn ~/notes       learn it: about five minutes, with a score at the end
  trainer sample              let the model write
  trainer report              see how it went, as a page
  trainer forget ~/notes/x    forget a file or folder, in the weights too
"""

MODELS = """\
The models that there are, each with its scores and the text that they were measured on. Scores of
different texts do not compare: one's letters are harder to expect than another's. `trainer history`
shows each model beside the one before it, on the same text.
"""

LEARN = """\
Learn files or folders, starting from the base model; score the result on their newest tenth, put
it to use.
Ctrl-C keeps the best so far; the same command goes on from there.

  trainer learn ~/notes                     about five minutes
  trainer learn ~/notes thesis.tex --minutes 20
  trainer learn ~/notes --cell gru          another kind of unit, to compare in the report
"""

UPDATE = """\
Go on from the model in use with what is new in PATH since, and a share of what is older. The new
model takes its place only if it is better at what you wrote last; else nothing changes.
Ctrl-C keeps a checkpoint; the same command goes on from there.

  trainer update ~/notes
"""

FORGET = """\
Forget a file or folder: nothing reads it again, every model that ever saw it is deleted, and one is
made anew without it, which takes as long as learning.
Ctrl-C is safe at any moment; the same command goes on from there, and so does one without a PATH.

  trainer forget ~/notes/diary.md --dry-run   what would go
  trainer forget ~/notes/diary.md
  trainer forget --undo ~/notes/diary.md      let it be read again
"""

PRETRAIN = """\
Make the base model that a manifest describes: its parts, their weights and licences.
Ctrl-C, or any kill, keeps the last checkpoint; the same command goes on from there.

  trainer pretrain manifest.toml --root ~/corpus --minutes 90 --out base
"""

EPILOGUE = """\
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (work kept); with --background, 75
where it gave way to somebody else.
AFTERWORD_HOME=DIR keeps everything that Afterword writes under one folder.
NO_COLOR, AFTERWORD_NO_PROGRESS: no colour, no live view.
"""


class _Version(argparse.Action):
    """What this is and where its files lie: the first thing to look at when something is odd."""

    def __call__(self, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        from afterword_trainer.paths import Paths

        try:
            ours = version("afterword")
        except PackageNotFoundError:
            ours = "(run from a checkout that is not installed)"
        paths = Paths.from_environment()
        print(f"Afterword {ours}, Python {sys.version.split()[0]}")
        print(f"models and reports  {paths.data}\nprepared text       {paths.cache}")
        print(f"logs                {paths.logs}")
        sys.exit(DONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `trainer`; the exit code."""
    open_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    if not arguments:
        parser.print_help()
        return DONE
    options = parser.parse_args(arguments)
    obey_signals()
    if getattr(options, "background", False):
        from afterword_trainer import background, discreet, machine

        # Before numpy and TensorFlow start threads, which inherit it.
        background.limit_threads(getattr(options, "threads", None) or machine.cores())
        background.step_back()
        discreet.be_discreet()  # standard error is a file then
    try:
        from afterword_trainer import commands

        try:
            code = commands.run(options, ["trainer", *arguments])
            sys.stdout.flush()
            return code
        except commands.EXPECTED_ERRORS as error:
            if options.debug:
                raise
            tell(error)
            return _code_of(error, is_background=getattr(options, "background", False))
    except NotBuiltError as error:
        tell(error)
        return FAILED
    except BrokenPipeError:
        return end_with_the_pipe()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED


def _code_of(error: Exception, *, is_background: bool) -> int:
    """The exit code of what could not be done."""
    if is_background:
        from afterword_trainer.background import LEFT
        from afterword_trainer.durable import LockedError

        if isinstance(error, LockedError):
            return LEFT  # somebody else is at work: later, and nothing went wrong
    return FAILED


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command; the one place where options are declared."""
    parser = Parser(
        prog="trainer",
        description=OVERVIEW,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="the version, and where things are kept"
    )
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    learn = verbs.add_parser(
        "learn",
        help="learn files or folders: the main job",
        description=LEARN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_corpus_options(learn)
    learn.add_argument(
        "--dry-run", action="store_true", help="only say what would be learned, as `corpus` does"
    )
    span = learn.add_argument_group("how long").add_mutually_exclusive_group()
    span.add_argument("--minutes", type=_minutes, help="of wall time, scores included (5)")
    span.add_argument("--epochs", type=_epochs, help="passes over the text instead")
    model = learn.add_argument_group("the model")
    model.add_argument(
        "--from",
        dest="origin",
        choices=("base", "current", "scratch"),
        default="base",
        help="what to start from (base: the model that ships; a shape of your own is from scratch)",
    )
    model.add_argument(
        "--cell", choices=("lstm", "gru", "rnn"), help="kind of unit (the base's; else lstm)"
    )
    model.add_argument(
        "--layers", type=int, help="(the base's; from scratch 1 under 6 minutes, else 2)"
    )
    model.add_argument("--units", type=int, help="of each layer (the base's; else 512)")
    model.add_argument("--dropout", type=_share, help="below 1 (by the number of passes)")
    model.add_argument("--seed", type=_seed, default=0, help="of everything random (0)")
    model.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of matrix products (auto: whichever is measured to be faster)",
    )
    _add_threads(model)
    model.add_argument("--no-activate", action="store_true", help="keep using the model in use")
    _add_json(learn)

    _add_update(verbs)
    _add_pretrain(verbs)

    evaluate = verbs.add_parser(
        "evaluate",
        help="bits per character and keystrokes saved, beside the baselines",
        description="Score a model on the newest tenth of PATH; the baselines learn the rest. "
        "With --learned, score it on all of PATH.",
    )
    _add_corpus_options(evaluate)
    evaluate.add_argument("--learned", nargs="+", type=_path, metavar="PATH", help="for baselines")
    evaluate.add_argument("--characters", type=_count, default=20_000, help="to type (20000)")
    evaluate.add_argument(
        "--bits-characters", type=_count, default=200_000, help="to measure in bits (200000)"
    )
    evaluate.add_argument(
        "--rows", nargs="*", metavar="NAME", help="of the table, beside the first (all)"
    )
    evaluate.add_argument(
        "--dynamic", action="store_true", help="also the network learning as it reads: minutes"
    )
    _add_model(evaluate)
    _add_json(evaluate)

    sample = verbs.add_parser("sample", help="let the model write")
    sample.add_argument("--prompt", default="", help="text to go on from; - reads standard input")
    sample.add_argument("--temperature", type=float, default=0.8, help="0 to 2 (0.8)")
    sample.add_argument("--greedy", action="store_true", help="the likeliest symbol each time")
    sample.add_argument("--top-k", type=int, default=0, help="among the K likeliest only (all)")
    sample.add_argument("--top-p", type=float, default=1.0, help="among this share only (1)")
    sample.add_argument("--chars", type=_count, default=400, help="to write (400)")
    sample.add_argument("--count", type=_count, default=1, help="of samples (1)")
    sample.add_argument("--seed", type=_seed, default=0, help="of the drawing (0)")
    _add_model(sample)
    _add_json(sample)

    corpus = verbs.add_parser("corpus", help="what would be learned, and what not; learns nothing")
    _add_corpus_options(corpus)
    corpus.add_argument(
        "--skipped",
        action="store_true",
        help="list every file left out, and every line that looks like a key or password",
    )
    _add_json(corpus)

    models = verbs.add_parser("models", help="the models that there are", description=MODELS)
    _add_json(models)
    history = verbs.add_parser(
        "history", help="what was learned when, with scores before and after"
    )
    _add_json(history)
    use = verbs.add_parser("use", help="put a model to use")
    use.add_argument("model", metavar="MODEL")
    verbs.add_parser("rollback", help="go back to the model that was in use before")
    remove = verbs.add_parser("remove", help="delete a model that is not in use")
    remove.add_argument("model", metavar="MODEL")
    _add_forget(verbs)
    export = verbs.add_parser("export", help="write the model in use to a file")
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument(
        "--with-excerpts",
        action="store_true",
        help="with the lines of your text that its report quotes, and its weights in full",
    )
    _add_model(export)
    import_ = verbs.add_parser("import", help="take a model from a file; `use` puts it to use")
    import_.add_argument("file", type=Path, metavar="FILE")

    report = verbs.add_parser("report", help="the training report: one HTML file")
    report.add_argument("--output", type=Path, metavar="FILE", help="where to write it")
    report.add_argument("--prompt", action="append", default=[], help="to sample from; repeatable")
    report.add_argument("--no-excerpts", action="store_true", help="leave your own text out of it")
    report.add_argument("--open", action="store_true", help="open it in the browser")
    _add_model(report)
    return parser


def _add_update(verbs: "argparse._SubParsersAction[Parser]") -> None:
    update = verbs.add_parser(
        "update",
        help="go on from the model in use with what is new: the daemon does it when all is quiet",
        description=UPDATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_corpus_options(update)
    update.add_argument(
        "--background", action="store_true", help="step back behind everything else that runs"
    )
    update.add_argument("--symbols", type=_symbols, help="to train on (two passes over the text)")
    update.add_argument("--seed", type=_seed, default=0, help="of everything random (0)")
    update.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="see `learn`"
    )
    _add_threads(update)
    _add_json(update)


def _add_forget(verbs: "argparse._SubParsersAction[Parser]") -> None:
    forget = verbs.add_parser(
        "forget",
        help="forget a file or folder: at once, and then in the weights",
        description=FORGET,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    forget.add_argument(
        "path",
        type=_path,
        nargs="?",
        metavar="PATH",
        help="a file or folder, there or not; without one, go on with what was broken off",
    )
    what = forget.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only say what would go")
    what.add_argument(
        "--undo", action="store_true", help="let PATH be read again; what went stays gone"
    )
    forget.add_argument("--yes", action="store_true", help="without being asked")
    forget.add_argument(
        "--background", action="store_true", help="step back behind everything else that runs"
    )
    _add_json(forget)


def _add_pretrain(verbs: "argparse._SubParsersAction[Parser]") -> None:
    pretrain = verbs.add_parser(
        "pretrain",
        help="make a base model from a large corpus: hours of work, seldom needed",
        description=PRETRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pretrain.add_argument("manifest", type=_path, metavar="MANIFEST", help="a TOML file")
    pretrain.add_argument(
        "--root", type=_path, action="append", default=[], help="where its parts lie; repeatable"
    )
    span = pretrain.add_mutually_exclusive_group()
    span.add_argument("--minutes", type=_minutes, help="of wall time, preparing not counted")
    span.add_argument("--symbols", type=_symbols, help="to train on (one pass over the corpus)")
    pretrain.add_argument("--out", type=_path, required=True, metavar="FOLDER", help="to be made")
    pretrain.add_argument(
        "--from",
        dest="start",
        type=_path,
        metavar="MODEL",
        help="go on from the weights of a model that pretrain made, and in its shape",
    )
    shape = pretrain.add_argument_group("the network, unless --from brings one")
    shape.add_argument("--cell", choices=("lstm", "gru", "rnn"), help="kind of unit (lstm)")
    shape.add_argument("--layers", type=int, help="(2)")
    shape.add_argument("--units", type=int, help="of each layer (512)")
    shape.add_argument("--embedding", type=int, help="numbers for each symbol (128)")
    pretrain.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of matrix products (auto: whichever is measured to be faster)",
    )
    pretrain.add_argument("--seed", type=_seed, default=0, help="of everything random (0)")
    _add_json(pretrain)


def _add_corpus_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=_path, metavar="PATH", help="files or folders")
    parser.add_argument("--mail", action="store_true", help="read mail too (.eml, .mbox, Maildir)")
    parser.add_argument("--pdf", action="store_true", help="read PDF files too")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out what this matches, as in .gitignore; may be given again",
    )


def _add_threads(parser: "argparse._ActionsContainer") -> None:
    parser.add_argument(
        "--threads", type=_threads, help="(one for each core; 1: the same weights every time)"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help="another model than the one in use")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: JSON on standard output")


def _path(text: str) -> Path:
    """A type for argparse: `learn "$UNSET"` must not mean the folder one stands in."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path names nothing")
    return Path(text)


_minutes = number(0.4, 10_000, float)  # in less, nothing but starting up would be done
_epochs = number(0.001, 10_000, float)
_share = number(0, 0.95, float)
_threads = number(1, 64, int)
_count = number(1, 100_000_000, int)
_symbols = number(1_000, 10**12, int)
_seed = number(0, 2**31 - 1, int)


if __name__ == "__main__":
    sys.exit(main())
