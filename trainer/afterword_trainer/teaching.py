"""The verbs of `trainer` that teach and forget: learn, update, forget, pretrain.

Options in, lines on the terminal out, one function each. Knows what to say of what came of it; how
it is done, `learn`, `forget` and `pretrain` know.
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from afterword_trainer import (
    arguments,
    durable,
    forget,
    learn,
    plan,
    reading,
    screen,
    view,
)
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.paths import Paths

DEFAULT_MINUTES = 5.0  # a coffee; enough for a megabyte of text


def learn_command(options: argparse.Namespace, paths: Paths, typed: str) -> int:
    """`trainer learn`."""
    started = time.monotonic()
    arguments.check_paths(options.paths)
    minutes = options.minutes
    if minutes is None and options.epochs is None:
        minutes = DEFAULT_MINUTES
    request = plan.Request(
        roots=options.paths,
        rules=arguments.rules(options),
        minutes=minutes,
        epochs=options.epochs,
        origin=options.origin,
        precision=options.precision,
        threads=options.threads,
        cell=options.cell,
        layers=options.layers,
        units=options.units,
        dropout=options.dropout,
        seed=options.seed,
        activate=not options.no_activate,
        command=typed,
    )
    deleted: list[str] = []
    with screen.listening(as_json=options.json) as listener:
        listener = replace(listener, on_deleted=deleted.append)
        learned = learn.learn(request, paths, listener, started=started)
    if options.json:
        scores = learned.table.to_json() if learned.table else None
        print(json.dumps({"event": "learned", **asdict(learned), "table": scores}))
    else:
        _print_learned(learned, deleted, _folder(options.paths))
    return 130 if learned.interrupted else 0


def update_command(options: argparse.Namespace, paths: Paths, typed: str) -> int:
    """`trainer update`."""
    arguments.check_paths(options.paths)
    request = plan.Request(
        roots=options.paths,
        rules=arguments.rules(options),
        work="updated",
        origin="current",
        symbols=options.symbols,
        precision=options.precision,
        threads=options.threads,
        seed=options.seed,
        command=typed,
    )
    with screen.listening(as_json=options.json) as listener:
        learned = learn.update(request, paths, listener)
    if options.json:
        print(json.dumps({"event": "updated", **asdict(learned)}))
    elif learned.interrupted:
        print("\nstopped early; the same command goes on from here")
    elif learned.verdict is None and learned.id is None:
        print(f"{_too_little(learned.n_new)}; {learned.previous} is in use")
    else:
        what = f"{learned.id} is in use" if learned.id else f"{learned.previous} stays in use"
        print(f"\n{what}: {learned.verdict.sentence if learned.verdict else ''}")
        if learned.n_left:
            print(f"left for the next time: {view.counted(learned.n_left, 'character')}")
        if learned.id:
            screen.print_hints(f"trainer rollback    (undo: back to {learned.previous})")
    return 130 if learned.interrupted else 0


def _too_little(n_new: int) -> str:
    if not n_new:
        return "nothing new to learn"
    characters = f"{view.counted(n_new, 'character')} {'is' if n_new == 1 else 'are'}"
    return f"nothing was learned: {characters} new, and {reading.LEAST_NEW:,} are the least"


def _folder(paths: Sequence[Path]) -> str:
    """What was learned, as one types it to have it watched; a word for it if it is no folder."""
    return shlex.quote(str(paths[0])) if paths[0].is_dir() else "FOLDER"


def _print_learned(learned: learn.Learned, deleted: Sequence[str], folder: str) -> None:
    if learned.id is None:
        print(f"\n{learned.previous or 'no model'} stays in use")
        print(learned.verdict.sentence if learned.verdict else "stopped early")
        return
    if learned.table:
        screen.print_table(learned.table, model=learned.id)
    stays = f"{learned.previous} stays" if learned.previous else "no model is"
    what = f"{learned.id} is in use" if learned.active else f"{stays} in use, not {learned.id}"
    early = " (stopped early; the same command goes on from here)" if learned.interrupted else ""
    print(f"\n{what}{early}")
    if learned.verdict:
        print(learned.verdict.sentence)
    if learned.base_bits and view.lost(learned.base_bits):
        print(view.lost(learned.base_bits))
    if deleted:
        print(f"deleted, because there are newer ones: {', '.join(deleted)}")
    if learned.table and learned.table.dropped:
        print(f"not scored for want of time: {'; '.join(learned.table.dropped)}")
        print(f"all of them, in minutes: trainer evaluate {folder} --model {learned.id}")
    screen.print_hints(*_hints(learned, folder))


def _hints(learned: learn.Learned, folder: str) -> Iterator[str]:
    """What to do now, the likeliest first."""
    rejected = learned.verdict is not None and not learned.verdict.accepted
    if learned.verdict and not learned.remembered:
        yield f"afterword watch add {folder}    (its memory then knows these files, to the word)"
    if learned.table is None:
        yield f"trainer evaluate PATH --model {learned.id}    (it was not scored)"
    else:
        yield "trainer report --open"
    if not learned.active:
        yield f"trainer use {learned.id}{'    (use it all the same)' if rejected else ''}"
    elif learned.previous:
        yield f"trainer rollback    (undo: back to {learned.previous})"
    else:
        yield "trainer sample --prompt 'The first words of a sentence'"


def forget_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer forget`."""
    if options.undo:
        return _undo_command(options, paths)
    if options.path is None:
        return _go_on_command(options, paths)
    found = forget.traces(options.path, paths)
    is_forgotten = Forgotten.load(paths).holds(options.path)
    if not (found.files or found.tainted or is_forgotten or os.path.lexists(options.path)):
        raise arguments.UsageError(
            f"{options.path}: it is not there and was never learned; check the spelling"
        )
    if not options.json:
        _print_traces(options.path, found, is_forgotten=is_forgotten)
    if options.dry_run:
        if options.json:
            print(json.dumps({"event": "would_forget", **asdict(found)}))
        return 0
    spares_unknown = False
    if not options.yes and (found.files or found.tainted):
        if found.files and not sys.stdin.isatty():
            raise arguments.UsageError(
                "nothing was forgotten; add --yes to forget without being asked"
            )
        agreed = screen.agreed("Forget it for good?" if found.files else "Delete to be sure?")
        if not agreed and found.files:
            print("nothing was forgotten")
            return 1
        spares_unknown = not agreed
    if options.background and not found.files:
        spares_unknown = True  # nobody saw that there are such models

    # 1) at once; what stood there is remembered in memory, to see afterwards that it is gone
    old = forget.model_in_use(paths) if found.is_in_use and not spares_unknown else None
    wanted, why_none = forget.phrases(options.path, found.recipe or {}) if old else ([], "")
    suspects = found.tainted.keys()
    found = forget.forget(options.path, paths, spares_unknown=spares_unknown)
    if options.json:
        spared = sorted(suspects - found.tainted.keys())
        print(json.dumps({"event": "forgotten", **asdict(found), "spared": spared}), flush=True)
    elif not found.tainted:
        print(f"not read from now on, nor remembered; {found.in_use or 'no model'} stays in use")
    else:
        print(f"\nforgotten, and not read again; {found.successor or 'no model'} is in use")

    # 2) the weights, without it
    request = forget.pending(paths)
    code = _rebuilt(request, paths, old, wanted, why_none, options) if request else 0
    if not options.json:
        name = view.visible(shlex.quote(str(options.path)))
        screen.print_hints(f"trainer forget --undo {name}    (let it be read again)")
    return code


def _go_on_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer forget` without a path."""
    if options.dry_run:
        return _would_go_on(options, paths)
    found, request = forget.finish(paths), forget.pending(paths)
    if found is None and request is None:
        raise arguments.UsageError(_NOTHING_BROKEN_OFF)
    if found and options.json:
        print(json.dumps({"event": "forgotten", **asdict(found)}), flush=True)
    elif found:
        print(f"what has seen it is deleted: {', '.join(found.tainted)}")
    return _rebuilt(request, paths, None, [], "", options) if request else 0


def _would_go_on(options: argparse.Namespace, paths: Paths) -> int:
    tainted, request = [*forget.left(paths).tainted], forget.pending(paths)
    roots = [*map(str, request.roots)] if request else []
    if not (tainted or roots):
        raise arguments.UsageError(_NOTHING_BROKEN_OFF)
    if options.json:
        print(json.dumps({"event": "would_go_on", "tainted": tainted, "roots": roots}))
        return 0
    if tainted:
        print(f"what has seen it would be deleted: {', '.join(tainted)}")
    if roots:
        folders = view.visible(" ".join(map(shlex.quote, roots)))
        print(f"the weights would be made anew without what was forgotten, from {folders}")
    return 0


_NOTHING_BROKEN_OFF = "nothing was broken off; name what to forget"


def _undo_command(options: argparse.Namespace, paths: Paths) -> int:
    """`trainer forget --undo`."""
    if options.path is None:
        raise arguments.UsageError("name what is to be read again; trainer forget --undo PATH")
    if not Forgotten.load(paths).remove(options.path):
        raise arguments.UsageError(f"{options.path}: it was not forgotten; check the spelling")
    if options.json:
        print(json.dumps({"event": "undone", "path": str(options.path.absolute())}))
    else:
        print("it may be read again; what was deleted because of it stays deleted")
        screen.print_hints(f"trainer learn {_folder([options.path])}")
    return 0


def _rebuilt(
    request: plan.Request,
    paths: Paths,
    old: Bundle | None,
    wanted: Sequence[forget.Phrase],
    why_none: str,
    options: argparse.Namespace,
) -> int:
    """Make the weights anew; show what `old` and new ones make of phrases. The exit code."""
    known = forget.others(request, paths) if wanted else []
    is_tried = bool(wanted)
    wanted = forget.only_there(wanted, known)
    if is_tried and not wanted:
        why_none = "all of it stands in other files too"
    before = None
    if old and wanted:
        theirs = [*dict.fromkeys(phrase.document for phrase in wanted)]
        before = forget.recalled(old, theirs, wanted)
    try:
        with screen.listening(as_json=options.json) as listener:
            rebuilt = forget.rebuild(request, paths, listener)
    except (learn.ForgottenMeanwhileError, durable.LockedError) as error:
        if options.json:  # the daemon has to know that it is not done
            raise
        why = "what is forgotten has changed meanwhile, so the weights were not made anew here"
        if isinstance(error, durable.LockedError):
            why = "another trainer is at work, so the weights were not made anew yet"
        print(f"\nforgotten; {why}")
        screen.print_hints("trainer forget    (makes them anew, if nobody else has)")
        return 0
    serving = forget.model_in_use(paths)
    after = forget.recalled(serving, known, wanted) if serving and wanted else None
    if options.json:
        parts = {"learned": rebuilt, "before": before, "after": after}
        told = {name: asdict(part) if part else None for name, part in parts.items()}
        print(json.dumps({"event": "rebuilt", **told, "why_not_shown": why_none}))
    elif rebuilt is None:
        print("too little is left to learn from")
    elif rebuilt.interrupted:
        print("\nstopped early; the same command goes on from here")
    else:
        stays = f"; {rebuilt.previous} stays in use" if not rebuilt.active else ""
        print(f"\n{rebuilt.id} was made without it{stays}")
        if rebuilt.verdict:
            print(rebuilt.verdict.sentence)
        if before and after:
            print(view.recalled(before, after))
        elif why_none:
            print(f"no passage of it can show that it is gone: {why_none}")
    return 130 if rebuilt and rebuilt.interrupted else 0


def _print_traces(path: Path, found: forget.Traces, *, is_forgotten: bool) -> None:
    files, name = view.counted(len(found.files), "file"), view.visible(str(path))
    if found.files:
        print(f"{name}: {files} of it {'was' if len(found.files) == 1 else 'were'} learned")
    elif is_forgotten:
        print(f"{name}: it is forgotten already")
    else:
        print(f"{name}: no model is known to have learned it")
    for model, why in found.tainted.items():
        goes = f"goes: {why}" if found.files else f"stays unless you say so: {why}"
        print(f"  {model} {goes}")
    if found.is_in_use and found.files:
        print(f"  {found.successor or 'no model'} is in use instead of {found.in_use}")
        if found.recipe:
            print(
                "  then the weights are made anew without it, which takes as long as learning did"
            )
        else:
            print("  nobody wrote down how it was learned: `trainer learn PATH` learns the rest")


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
    with screen.listening(as_json=options.json) as listener:
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
