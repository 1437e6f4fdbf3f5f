"""The verbs of `trainer`, one function each: options in, lines on the terminal out.

Tables and the live picture are drawn by `view`; `--json` writes JSON and nothing else on
standard output.
"""

import argparse
import json
import os
import shlex
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from afterword_trainer import (
    arguments,
    candidate,
    corpus,
    durable,
    evaluation,
    experts,
    finding,
    forget,
    ledger,
    measures,
    plan,
    portrait,
    records,
    report,
    screen,
    secrets,
    skips,
    stream,
    teaching,
    view,
)
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.sampling import Sampling, generate
from afterword_trainer.model.step import NetworkPredictor, NumpyStep, open_predictor
from afterword_trainer.paths import Paths
from afterword_trainer.pretraining import PretrainingError
from afterword_trainer.shelf import Shelf, ShelfError
from afterword_trainer.terminal import as_typed

PRIMING_CHARACTERS = 20_000  # of a prompt, its last: a second; the state recalls far less
FORGOTTEN = "forgotten at your wish; to have it read again: trainer forget --undo PATH"
INT8_CHARACTERS = 2_000  # on which served weights are compared with exact ones, by slow numpy


# What `cli.main` says in one sentence; anything else is a defect and shows its traceback.
EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    BundleError,
    ShelfError,
    durable.StateError,
    evaluation.NoSuchRowError,
    stream.TooLittleError,
    plan.LearnError,
    PretrainingError,
    records.TrainingError,
    arguments.UsageError,
)


def run(options: argparse.Namespace, typed: Sequence[str]) -> int:
    """Carry out the command; the exit code. `typed` is the command line, for the report."""
    paths = Paths.from_environment()
    match options.command:
        case "corpus":
            return corpus_command(options, paths)
        case "learn" if options.dry_run:
            return corpus_command(options, paths)
        case "models":
            return models_command(options, paths)
        case "use" | "rollback" | "remove" | "export" | "import":
            return shelf_command(options, paths)
        case "history":
            return history_command(options, paths)
    if options.command != "pretrain":  # which alone can do with another
        os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = str(paths.cache / "keras")  # where it writes its own settings down
    with screen.libraries_write_to(paths.logs / "trainer.log"):
        match options.command:
            case "learn":
                return teaching.learn_command(options, paths, shlex.join(typed))
            case "update":
                return teaching.update_command(options, paths, shlex.join(typed))
            case "forget":
                return teaching.forget_command(options, paths)
            case "pretrain":
                return teaching.pretrain_command(options, paths)
            case "evaluate":
                return evaluate_command(options, paths)
            case "sample":
                return sample_command(options, paths)
            case "report":
                return report_command(options, paths)
    raise AssertionError(f"{options.command} has a parser and no function")


# -- reading and asking ------------------------------------------------------------------------


def corpus_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer corpus`, and `trainer learn --dry-run`."""
    arguments.check_paths(options.paths)
    summary = corpus.Summary()
    skipped: list[skips.Skipped] = []
    hidden: list[tuple[str, int, secrets.Kind]] = []
    listed = getattr(options, "skipped", False)
    # As `learn` does: what was forgotten is left alone, and what is named is taken back.
    forgotten = Forgotten.load(paths).allowing(*options.paths)
    left_alone: list[str] = []

    def passes_over(file: str) -> bool:
        if forgotten.holds(file):
            left_alone.append(file)
            return True
        return False

    with screen.status(quiet=options.json) as say:
        on_read = screen.reading(say)
        for _, item in corpus.items(options.paths, arguments.rules(options), passes_over):
            summary.add(item)
            if listed and isinstance(item, skips.Skipped):
                skipped.append(item)
            elif listed and isinstance(item, corpus.Document):
                hidden += [(item.path, line, kind) for line, kind in item.secret_lines]
            on_read(summary.total.documents, summary.total.characters)
    found = summary.to_json()
    found["files_forgotten"] = len(left_alone)
    if options.json:
        if listed:
            found["files"] = [asdict(item) for item in skipped]
            found["secrets"] = [
                {"path": path, "line": line, "kind": kind} for path, line, kind in hidden
            ]
        print(json.dumps(found))
        return 0
    rows = [
        {"name": name, "files": share["documents"], "characters": share["characters"]}
        for name, share in found["languages"].items()
    ]
    view.table(view.CORPUS, rows, title="What would be learned")
    if listed:
        for item in skipped:
            detail = f" ({item.detail})" if item.detail else ""
            reason = skips.REASONS[item.reason]
            print(f"  {view.visible(item.path)}: {reason}{view.visible(detail)}")
        for file in left_alone:
            print(f"  {view.visible(file)}: {FORGOTTEN}")
        for path, line, kind in hidden:
            print(f"  {view.visible(path)}, line {line} of its text: {secrets.IN_WORDS[kind]}")
    elif found["skipped"] or left_alone:
        print()
        view.table(
            view.SKIPPED,
            [
                {"files": n, "reason": skips.REASONS[reason]}
                for reason, n in found["skipped"].items()
            ]
            + ([{"files": len(left_alone), "reason": FORGOTTEN}] if left_alone else []),
            title="What would not",
        )
    total = summary.total
    n_lines = summary.n_secrets
    n_left_out = found["files_skipped"] + len(left_alone)
    print(
        f"\n{view.counted(total.documents, 'file')}, {view.amount(total.characters)} characters; "
        f"{n_left_out:,} left out; "
        f"{view.counted(n_lines, 'line')} with keys or passwords left out; nothing was learned"
    )
    if (n_left_out or n_lines) and not listed:
        screen.print_hints("add --skipped to see each file and line that is left out")
    return 0


def evaluate_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer evaluate`."""
    arguments.check_paths([*options.paths, *(options.learned or [])])
    bundle = _model(options, paths)
    sizes = evaluation.Options(
        bits_characters=max(options.bits_characters, options.characters),
        keystroke_characters=options.characters,
        presage_words=options.characters // 20,  # which take about as long
        rows=options.rows,
    )
    most = evaluation.LEARNED_CHARACTERS
    with (
        _work_folder(paths.cache / "evaluations") as folder,
        screen.status(quiet=False) as say,  # on standard error, so that JSON is left alone
    ):
        documents = _documents_of(options.paths, arguments.rules(options), screen.reading(say))
        if options.learned:
            # All of PATH is test text; what the baselines learn is named apart.
            test = stream.prepare(
                documents, folder / "test", alphabet=bundle.alphabet, heldout_share=0.0
            )
            known: list[stream.Piece] = []
            with suppress(stream.TooLittleError):  # as on the first day, before there is any text
                prepared = stream.prepare(
                    _documents_of(options.learned, arguments.rules(options), screen.reading(say)),
                    folder / "learned",
                    alphabet=bundle.alphabet,
                    heldout_share=0.0,
                )
                known = experts.newest(prepared.learn_documents(), most)
            tested = test.learn_documents
            n_known = len(set(test.learned_digests()) & bundle.digests())
        else:
            both = stream.prepare(documents, folder / "both", alphabet=bundle.alphabet)
            known = experts.newest(both.learn_documents(), most)
            tested = both.heldout_documents
            n_known = both.n_known(bundle.digests())
        table = evaluation.evaluate(
            experts.of_bundle(bundle, known),
            bundle.alphabet,
            known,
            tested(),
            sizes,
            lambda name, share: say(f"scoring: {name} {share:.0%}"),
            readers=experts.dynamic_network(bundle) if options.dynamic else None,
        )
        served = exact = None
        if options.rows is None:
            say("comparing int8 with float32")
            served, exact = _int8_loss(bundle, tested())
    if n_known and not options.json:
        sys.stderr.write(f"note: {candidate.flattery(bundle.id, n_known)}\n")
    if options.json:
        found = {
            "model": bundle.id,
            "documents_known": n_known,
            "int8_bits": served,
            "float32_bits": exact,
        }
        print(json.dumps(found | table.to_json()))
        return 0
    screen.print_table(table, model=bundle.id)
    learning = "; ".join(row.title for row in table.rows if row.learning)
    print(f"\ngoing on to learn from the text that they are scored on: {learning}")
    print("saved keystrokes are simulated, so an upper bound")
    if served is not None and exact is not None:
        cost = f"{served - exact:+.4f} bits per character against float32"
        print(f"int8 weights cost {cost} ({served:.3f}, {exact:.3f})")
    return 0


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """A folder for prepared text, one evaluation at a time; gone at the end.

    What a killed evaluation left there goes first: it is text of the user's.
    """
    with durable.locked(parent / "lock"):
        durable.sweep(parent)
        with durable.temporary_folder(parent) as folder:
            yield folder


def _int8_loss(bundle: Bundle, documents: Iterator[stream.Piece]) -> tuple[float, float]:
    """Bits per character by the served graph and by float32, on the same beginning."""
    text = "".join(piece.text for _, piece in zip(range(50), documents, strict=False))
    header = bundle.alphabet.header()
    found = [
        measures.bits_per_character(
            predictor, bundle.alphabet, text[:INT8_CHARACTERS], header
        ).per_character
        for predictor in (
            open_predictor(bundle),
            NetworkPredictor(NumpyStep(bundle.spec, bundle.weights)),
        )
    ]
    return found[0], found[1]


def sample_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer sample`: streams as it goes."""
    try:
        sampling = Sampling(
            temperature=0.0 if options.greedy else options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
        )
    except ValueError as error:
        raise arguments.UsageError(str(error)) from error
    bundle = _model(options, paths)
    prompt = options.prompt
    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    prompt = prompt.replace("\r\n", "\n")
    predictor = open_predictor(bundle)
    recent = prompt[-PRIMING_CHARACTERS:] or portrait.BLANK_PAGE
    prime(predictor, bundle.alphabet.encode(recent))
    raw = not sys.stdout.isatty()
    for number in range(options.count):
        rng = np.random.default_rng([options.seed, number])
        pieces = generate(predictor, bundle.alphabet, sampling, options.chars, rng)
        if options.json:
            found = {"prompt": prompt, "text": "".join(pieces), "seed": [options.seed, number]}
            print(json.dumps(found))
            continue
        if number:
            print("\n---")
        for piece in (prompt, *pieces):
            # A model may write what a terminal would obey; a pipe gets it as it is.
            sys.stdout.write(piece if raw else view.visible(piece, keep="\n\t"))
            sys.stdout.flush()
        print()
    return 0


# -- the shelf ---------------------------------------------------------------------------------


def models_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer models`."""
    shelf = Shelf(paths.models, paths.base)
    entries = shelf.entries()
    texts = {entry.id: candidate.measured_on(entry) for entry in entries}
    if options.json:
        for entry in entries:
            facts, text = asdict(entry), texts[entry.id]
            del facts["provenance"]
            print(json.dumps(facts | {"measured_on": asdict(text) if text else None}))
        return 0
    if not entries:
        print("There is no model yet")
        screen.print_hints("trainer learn ~/notes")
        return 0
    rows = [
        {
            "id": entry.id,
            "made": entry.problem or portrait.local_time(entry.created, "%Y-%m-%d %H:%M"),
            "bits": entry.scores.get("bits_per_character"),
            "saved": entry.scores.get("ksr"),
            "text": text.text if (text := texts[entry.id]) else None,
            "marked": entry.is_current,
        }
        for entry in entries
    ]
    hints = [as_typed("trainer use MODEL")] if len(entries) > 1 else []
    if len({*texts.values()} - {None}) > 1:
        # Scores of different texts do not compare; there, two models stand side by side on one.
        beside = "(each beside the one before it, on the same text)"
        hints.append(f"{as_typed('trainer history')}    {beside}")
    view.table(view.MODELS, rows, hints=hints)
    return 0


def history_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer history`."""
    found = ledger.read(paths)
    if found.problem:
        sys.stderr.write(f"note: {found.problem}\n")
    if options.json:
        for entry in found.entries:
            print(json.dumps(asdict(entry) | {"documents": len(entry.documents)}))
        return 0
    if not found.entries:
        print("Nothing was learned yet")
        screen.print_hints("trainer learn ~/notes")
        return 0
    rows = [
        {
            "when": event.when,
            "what": event.what,
            "model": event.model or None,
            "bits_before": event.bits[0],
            "bits_after": event.bits[1],
            "saved_before": event.saved[0],
            "saved_after": event.saved[1],
        }
        for event in reversed(portrait.events(found.entries))
    ]
    view.table(view.HISTORY, rows, title="What was learned when")
    return 0


def shelf_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer use`, `rollback`, `remove`, `export`, `import`: each says its undo."""
    shelf = Shelf(paths.models, paths.base)
    if options.command in ("use", "rollback"):
        tainted = forget.left(paths).tainted
        if tainted and (options.command == "rollback" or options.model in tainted):
            raise ShelfError("what was forgotten is not out of all models yet; trainer forget")
    match options.command:
        case "use":
            if any(e.is_current and e.id == options.model for e in shelf.entries()):
                print(f"{options.model} is in use already")
                return 0
            shelf.use(options.model)
            _note_use(paths, options.model)
            print(f"{options.model} is in use")
            screen.print_hints("trainer rollback    (undo)")
        case "rollback":
            model = shelf.rollback()
            _note_use(paths, model)
            print(f"{model} is in use again")
        case "remove":
            shelf.remove(options.model)
            print(f"{options.model} is deleted")
        case "export":
            arguments.check_target(options.file, may_replace=False)
            bundle = _chosen(shelf, options.model)
            shelf.export(bundle.id, options.file, with_excerpts=options.with_excerpts)
            print(f"{bundle.id} is in {options.file}; it can repeat parts of what it learned")
        case "import":
            new_id = shelf.import_(options.file)
            print(f"{new_id} is on the shelf")
            screen.print_hints(f"trainer use {new_id}")
    return 0


def _note_use(paths: Paths, model: str) -> None:
    """In the ledger; the model is in use whether or not that can be written."""
    with suppress(durable.StateError):
        ledger.add(paths, ledger.Entry(what="used", when=ledger.now(), model=model))


def report_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer report`."""
    if options.output:
        arguments.check_target(options.output, may_replace=True)
    shelf = Shelf(paths.models, paths.base)
    bundle = _chosen(shelf, options.model)
    with screen.status(quiet=False) as say:
        say("sampling")
        others = [shelf.load(e.id) for e in shelf.entries() if not e.problem and e.id != bundle.id]
        data = portrait.of_bundle(bundle, others, options.prompt)
        data = replace(data, events=portrait.events(ledger.read(paths).entries))
        page = report.render(data, include_excerpts=not options.no_excerpts)
    target = options.output or paths.reports / f"{bundle.id}.html"
    durable.replace(target, page.encode("utf-8", "replace"))
    print(target)
    if options.open:
        webbrowser.open(target.absolute().as_uri())
    return 0


# -- shared by the verbs -----------------------------------------------------------------------


def _documents_of(
    roots: Sequence[Path], rules: finding.Rules, on_read: Callable[[int, int], None]
) -> Iterator[corpus.Document]:
    files = characters = 0
    for item in corpus.documents(roots, rules):
        if isinstance(item, corpus.Document):
            files, characters = files + 1, characters + len(item.text)
            on_read(files, characters)
            yield item


def _model(options: argparse.Namespace, paths: Paths) -> Bundle:
    return _chosen(Shelf(paths.models, paths.base), options.model)


def _chosen(shelf: Shelf, name: str | None) -> Bundle:
    """The named model, or the one in use. Raises ShelfError if there is none."""
    if name is not None:
        return shelf.load(name)
    bundle, notice = shelf.current()
    if notice:
        sys.stderr.write(f"note: {notice}\n")
    if bundle is None and shelf.entries():
        raise ShelfError("no model is in use; trainer models")
    if bundle is None:
        raise ShelfError("nothing was learned yet; trainer learn ~/notes")
    return bundle
