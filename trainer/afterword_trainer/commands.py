"""The verbs of `trainer`, one function each: options in, lines on the terminal out.

Tables and the live picture are drawn by `view`; `--json` writes JSON and nothing else on
standard output.
"""

import argparse
import json
import logging
import os
import shlex
import signal
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from afterword_trainer import (
    corpus,
    durable,
    evaluation,
    experts,
    learn,
    measures,
    portrait,
    records,
    report,
    stream,
    view,
)
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.sampling import Sampling, generate
from afterword_trainer.model.step import NetworkPredictor, NumpyStep, open_predictor
from afterword_trainer.paths import Paths
from afterword_trainer.pretraining import PretrainingError
from afterword_trainer.run import Listener
from afterword_trainer.scores import Table
from afterword_trainer.shelf import Shelf, ShelfError

DEFAULT_MINUTES = 5.0  # a coffee; enough for a megabyte of text
PRIMING_CHARACTERS = 20_000  # of a prompt, its last: a second; the state recalls far less
INT8_CHARACTERS = 2_000  # on which served weights are compared with exact ones, by slow numpy


class UsageError(Exception):
    """An option has a value that cannot be."""


# What `cli.main` says in one sentence; anything else is a defect and shows its traceback.
EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    BundleError,
    ShelfError,
    durable.StateError,
    evaluation.NoSuchRowError,
    stream.TooLittleError,
    learn.LearnError,
    PretrainingError,
    records.TrainingError,
    UsageError,
)


def run(options: argparse.Namespace, typed: Sequence[str]) -> int:
    """Carry out the command; the exit code. `typed` is the command line, for the report."""
    paths = Paths.from_environment()
    match options.command:
        case "corpus":
            return corpus_command(options)
        case "learn" if options.dry_run:
            return corpus_command(options)
        case "models":
            return models_command(options, paths)
        case "use" | "rollback" | "remove" | "export" | "import":
            return shelf_command(options, Shelf(paths.models, paths.base))
    if options.command != "pretrain":  # which alone can do with another
        os.environ["KERAS_BACKEND"] = "tensorflow"
    with _libraries_write_to(paths.logs / "trainer.log"):
        match options.command:
            case "learn":
                return learn_command(options, paths, shlex.join(typed))
            case "pretrain":
                return pretrain_command(options, paths)
            case "evaluate":
                return evaluate_command(options, paths)
            case "sample":
                return sample_command(options, paths)
            case "report":
                return report_command(options, paths)
    raise AssertionError(f"{options.command} has a parser and no function")


# -- learning ----------------------------------------------------------------------------------


def learn_command(options: argparse.Namespace, paths: Paths, typed: str) -> int:
    """`trainer learn`."""
    started = time.monotonic()
    _check_paths(options.paths)
    minutes = options.minutes
    if minutes is None and options.epochs is None:
        minutes = DEFAULT_MINUTES
    request = learn.Request(
        roots=options.paths,
        rules=_rules(options),
        minutes=minutes,
        epochs=options.epochs,
        origin=options.origin,
        precision=options.precision,
        cell=options.cell,
        layers=options.layers,
        units=options.units,
        dropout=options.dropout,
        seed=options.seed,
        activate=not options.no_activate,
        command=typed,
    )
    deleted: list[str] = []
    with _listening(as_json=options.json) as listener:
        listener = replace(listener, on_deleted=deleted.append)
        learned = learn.learn(request, paths, listener, started=started)
    if options.json:
        scores = learned.table.to_json() if learned.table else None
        print(json.dumps({"event": "learned", **asdict(learned), "table": scores}))
    else:
        _print_learned(learned, deleted)
    return 130 if learned.interrupted else 0


def _print_learned(learned: learn.Learned, deleted: Sequence[str]) -> None:
    if learned.table:
        _print_table(learned.table, title="On your held-out text, beside simpler methods")
    facts = [learned.id + ":"]
    if learned.table:
        ours = learned.table.rows[0]
        if ours.bits:
            facts.append(f"{ours.bits.per_character:.3f} bits per character,")
        if ours.keystrokes:
            facts.append(f"saves {ours.keystrokes.ksr:.1f} % of keystrokes;")
    if learned.active:
        facts.append("in use")
    else:
        facts.append(f"not in use: {learned.previous or 'no model'} still is")
    if learned.interrupted:
        facts.append("(stopped early; the same command goes on from here)")
    print("\n" + " ".join(facts))
    if learned.base_bits:
        print(view.kept(learned.base_bits))
    if deleted:
        print(f"deleted, because there are newer ones: {', '.join(deleted)}")
    if learned.table and learned.table.dropped:
        print(f"not scored for want of time: {'; '.join(learned.table.dropped)}")
    print("\nhint: trainer report --open")
    if learned.table is None:
        print(f"hint: trainer evaluate PATH --model {learned.id}    (it was not scored)")
    if not learned.active:
        print(f"hint: trainer use {learned.id}")
    elif learned.previous:
        print(f"hint: trainer rollback    (undo: back to {learned.previous})")
    else:
        print("hint: trainer sample --prompt 'The first words of a sentence'")


def pretrain_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer pretrain`."""
    from afterword_trainer.pretraining import pretrain  # no other command enters that room

    config = os.environ.get("TF_CONFIG")  # set where several workers train together
    request = pretrain.Request(
        manifest=options.manifest,
        out=options.out,
        roots=options.root,
        minutes=options.minutes,
        symbols=options.symbols,
        start=options.start,
        cell=options.cell,
        layers=options.layers,
        units=options.units,
        embedding=options.embedding,
        precision=options.precision,
        seed=options.seed,
        task=pretrain.Task.parse(config) if config else None,
    )
    with _listening(as_json=options.json) as listener:
        made = pretrain.pretrain(request, paths, listener)
    if options.json:
        folder = str(made.folder) if made.folder else None
        print(json.dumps({"event": "pretrained", **asdict(made), "folder": folder}))
    elif made.interrupted:
        print("\nstopped early; the same command goes on from here")
    elif made.folder:
        print(f"\n{made.folder}: {view.bits(made.bits_per_character)} bits per character")
        for name, bits in made.bits_by_part.items():
            print(f"  {name}: {bits:.3f}")
    return 130 if made.interrupted else 0


def corpus_command(options: argparse.Namespace) -> int:
    """`trainer corpus`, and `trainer learn --dry-run`."""
    _check_paths(options.paths)
    summary = corpus.Summary()
    skipped: list[corpus.Skipped] = []
    listed = getattr(options, "skipped", False)
    with _status(quiet=options.json) as say:
        on_read = _reading(say)
        for item in corpus.documents(options.paths, _rules(options)):
            summary.add(item)
            if listed and isinstance(item, corpus.Skipped):
                skipped.append(item)
            on_read(summary.total.documents, summary.total.characters)
    found = summary.to_json()
    if options.json:
        if listed:
            found["files"] = [asdict(item) for item in skipped]
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
            reason = corpus.REASONS[item.reason]
            print(f"  {view.visible(item.path)}: {reason}{view.visible(detail)}")
    elif found["skipped"]:
        print()
        view.table(
            view.SKIPPED,
            [
                {"files": n, "reason": corpus.REASONS[reason]}
                for reason, n in found["skipped"].items()
            ],
            title="What would not",
        )
    total = summary.total
    secrets = summary.n_secrets
    print(
        f"\n{total.documents:,} files, {view.amount(total.characters)} characters; "
        f"{found['files_skipped']:,} left out; "
        f"{secrets:,} lines with keys or passwords left out; nothing was learned"
    )
    if found["files_skipped"] and not listed:
        print("\nhint: add --skipped to see each file that is left out")
    return 0


# -- asking ------------------------------------------------------------------------------------


def evaluate_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer evaluate`."""
    _check_paths([*options.paths, *(options.learned or [])])
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
        _status(quiet=False) as say,  # on standard error, so that JSON is left alone
    ):
        documents = _documents_of(options.paths, _rules(options), _reading(say))
        if options.learned:
            # All of PATH is test text; what the baselines learn is named apart.
            test = stream.prepare(
                documents, folder / "test", alphabet=bundle.alphabet, heldout_share=0.0
            )
            known: list[stream.Piece] = []
            with suppress(stream.TooLittleError):  # as on the first day, before there is any text
                prepared = stream.prepare(
                    _documents_of(options.learned, _rules(options), _reading(say)),
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
        sys.stderr.write(f"note: {learn.flattery(bundle.id, n_known)}\n")
    if options.json:
        found = {
            "model": bundle.id,
            "documents_known": n_known,
            "int8_bits": served,
            "float32_bits": exact,
        }
        print(json.dumps(found | table.to_json()))
        return 0
    _print_table(table, title=f"{bundle.id} on {table.keystroke_characters:,} characters typed")
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
        raise UsageError(str(error)) from error
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
    if options.json:
        for entry in entries:
            print(json.dumps(asdict(entry)))
        return 0
    if not entries:
        print("There is no model yet\n\nhint: trainer learn ~/notes")
        return 0
    rows = [
        {
            "id": entry.id,
            "made": entry.problem or portrait.local_time(entry.created, "%Y-%m-%d %H:%M"),
            "bits": entry.scores.get("bits_per_character"),
            "saved": entry.scores.get("ksr"),
            "marked": entry.is_current,
        }
        for entry in entries
    ]
    view.table(view.MODELS, rows, hints=["trainer use MODEL"] if len(entries) > 1 else [])
    return 0


def shelf_command(options: argparse.Namespace, shelf: Shelf) -> int:
    """`trainer use`, `rollback`, `remove`, `export`, `import`: each says its undo."""
    match options.command:
        case "use":
            shelf.use(options.model)
            print(f"{options.model} is in use\n\nhint: trainer rollback    (undo)")
        case "rollback":
            print(f"{shelf.rollback()} is in use again")
        case "remove":
            shelf.remove(options.model)
            print(f"{options.model} is deleted")
        case "export":
            _check_target(options.file, may_replace=False)
            bundle = _chosen(shelf, options.model)
            shelf.export(bundle.id, options.file, with_excerpts=options.with_excerpts)
            print(f"{bundle.id} is in {options.file}; it can repeat parts of what it learned")
        case "import":
            new_id = shelf.import_(options.file)
            print(f"{new_id} is on the shelf\n\nhint: trainer use {new_id}")
    return 0


def report_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer report`."""
    if options.output:
        _check_target(options.output, may_replace=True)
    shelf = Shelf(paths.models, paths.base)
    bundle = _chosen(shelf, options.model)
    with _status(quiet=False) as say:
        say("sampling")
        others = [shelf.load(e.id) for e in shelf.entries() if not e.problem and e.id != bundle.id]
        data = portrait.of_bundle(bundle, others, options.prompt)
        page = report.render(data, include_excerpts=not options.no_excerpts)
    target = options.output or paths.reports / f"{bundle.id}.html"
    durable.replace(target, page.encode("utf-8", "replace"))
    print(target)
    if options.open:
        webbrowser.open(target.absolute().as_uri())
    return 0


# -- shared by the verbs -----------------------------------------------------------------------


def _check_target(path: Path, *, may_replace: bool) -> None:
    """Raises UsageError for a file that cannot be written there, or should not be."""
    if not path.name or not path.parent.is_dir():
        raise UsageError(f"{path}: there is no such folder; make it, or name another")
    if os.path.lexists(path) and not (may_replace and path.is_file() and not path.is_symlink()):
        raise UsageError(f"{path}: there is something already; choose another name")


def _check_paths(paths: Sequence[Path]) -> None:
    """Raises UsageError for one that does not exist: most often it is mistyped."""
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: there is no such file or folder; check the spelling")


def _rules(options: argparse.Namespace) -> corpus.Rules:
    return corpus.Rules(mail=options.mail, pdf=options.pdf)


def _documents_of(
    roots: Sequence[Path], rules: corpus.Rules, on_read: Callable[[int, int], None]
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


def _print_table(table: Table, *, title: str) -> None:
    rows: list[Mapping[str, Any]] = []
    for row in table.rows:
        lists = row.presage.ksr if row.presage else {}
        typed = row.keystrokes
        rows.append(
            {
                "name": row.title,
                "bits": row.bits.per_character if row.bits else None,
                "saved": typed.ksr if typed else None,
                "accepted": typed.acceptance if typed else None,
                **{f"ksr{size}": lists.get(size) for size in (1, 3, 6)},
                "marked": row is table.rows[0],
            }
        )
    print()
    view.table(view.EVALUATION, rows, title=title)


@contextmanager
def _listening(*, as_json: bool) -> Iterator[Listener]:
    """Show on the terminal what training says; Ctrl-C asks it to stop."""
    with (
        _interruptible() as interrupted,
        _status(quiet=as_json) as say,
        ExitStack() as picture,
    ):
        show_live: view.Show | None = None

        def show(record: records.Record) -> None:
            # The picture stands between the lines that say what is read and what is scored.
            nonlocal show_live
            if show_live is None:
                say("")
                show_live = picture.enter_context(view.watch(as_json=as_json))
            show_live(record)
            if isinstance(record, records.Finished):
                picture.close()

        yield Listener(
            show=show,
            interrupted=interrupted,
            on_read=_reading(say),
            on_score=lambda name, share: say(f"scoring: {name} {share:.0%}"),
        )


@contextmanager
def _status(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on the terminal that says what goes on, and leaves nothing behind."""
    live = not quiet and sys.stderr.isatty() and "AFTERWORD_NO_PROGRESS" not in os.environ
    last, shown = 0.0, False

    def say(text: str) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if not live or (text and now - last < 0.2) or (not text and not shown):
            return
        sys.stderr.write(f"\r\x1b[2K{text[:100]}")
        sys.stderr.flush()
        last, shown = now, bool(text)

    try:
        yield say
    finally:
        say("")


def _reading(say: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda files, characters: say(
        f"reading: {files:,} files, {view.amount(characters)} characters"
    )


@contextmanager
def _libraries_write_to(log: Path) -> Iterator[None]:
    """Send what TensorFlow and LiteRT print on descriptor 2 to a log; our own lines still arrive.

    The import of TensorFlow greets with a screenful that no setting turns off.
    """
    terminal, ours = sys.stderr, os.dup(2)
    try:
        descriptor = durable.open_log(log)
    except durable.StateError:  # a disk that cannot be written is no reason not to sample
        descriptor = durable.open_nothing()
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stderr = os.fdopen(ours, "w", buffering=1, encoding=terminal.encoding, errors="replace")
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(ours, 2)
        sys.stderr.close()
        sys.stderr = terminal


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks training to stop and keep what it has; a second one ends the program."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
