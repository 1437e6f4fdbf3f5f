"""What can be wrong with an installation, and what to do about it. Looks, and changes nothing.

Each check has a name, by which it can be run alone, and ends in one finding. Knows where to look;
knows nothing of how findings are shown. Nothing heavy is imported before a check needs it.
"""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from afterword_trainer.paths import Paths

from afterword_daemon import client, endpoint, starting, view
from afterword_daemon.protocol import Model, Status

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: State
    found: str  # one sentence, or several lines
    remedy: str = ""  # what to type or to do; never empty for what failed


def examine(paths: Paths, names: Sequence[str] = ()) -> Iterator[Finding]:
    """The findings of the named checks, or of all, one after another as they are made."""
    patient = Patient(paths)
    for name, check in CHECKS.items():
        if names and name not in names:
            continue
        try:
            state, found, *remedy = check(patient)
        except Exception as error:  # a check that breaks is a finding too, and the others go on
            state, found = "failed", f"the check itself failed: {type(error).__name__}: {error}"
            remedy = ["report this"]
        yield Finding(check=name, state=state, found=found, remedy=" ".join(remedy))


Found = tuple[State, str] | tuple[State, str, str]

LITTLE_ROOM = 200 << 20  # bytes; a model and what it takes to make the next one
SOME_ROOM = 2 << 30  # for learning from a large folder
MAX_RESIDENT = 120 << 20  # what is promised
EDITORS = {  # without a plug-in of ours
    "emacs": "Emacs",
    "hx": "Helix",
    "vim": "Vim",
    "kate": "Kate",
    "zed": "Zed",
    "subl": "Sublime Text",
}


class Patient:
    """What several checks look at, looked at once."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.answer_s = 0.0  # that the daemon took

    @cached_property
    def daemon(self) -> "Status | client.DaemonError":
        """What the daemon says about itself, or why it does not."""
        started = time.monotonic()
        try:
            with client.Connection.open(self.paths, spawn=False, client="afterword") as connection:
                return connection.status()
        except client.DaemonError as error:
            return error
        finally:
            self.answer_s = time.monotonic() - started

    @cached_property
    def entries(self) -> Sequence[Any]:
        """The models, each wholly read and checked."""
        from afterword_trainer.shelf import Shelf

        return Shelf(self.paths.models, self.paths.base).entries()


# -- what is installed -------------------------------------------------------------------------


def _install(patient: Patient) -> Found:
    """One version, and its commands are found."""
    scripts = Path(sys.executable).parent
    python = sys.version.split()[0]
    this = f"Afterword {endpoint.build()} on Python {python}"
    missing, others = [], []
    for name in ("afterword", "afterword-lsp", "trainer"):
        found = shutil.which(name)
        if found is None:
            missing.append(name)
        elif Path(found).resolve().parent != scripts.resolve():
            others.append(found)
    if others:
        what = f"{this}; the shell finds other programs first: {', '.join(others)}"
        return "warning", what, f"put {scripts} to the front of PATH"
    if missing:
        what = f"{this}; the shell does not find {', '.join(missing)}"
        return "warning", what, f"add {scripts} to PATH, or name them in full in your editor"
    return "ok", f"{this}; its three commands are found"


def _config(patient: Patient) -> Found:
    """Every setting is understood."""
    from afterword_daemon import config

    path = config.path_of(patient.paths)
    try:
        config.load(patient.paths)
    except config.ConfigError as error:
        told = [str(path), *error.mistakes]
        if error.is_unreadable:
            told.append(config.NOTHING_HOLDS)
        return "failed", "\n".join(told), f"correct {path}"
    return "ok", str(path) if os.path.lexists(path) else "no file, so every setting has its default"


def _folders(patient: Patient) -> Found:
    """They can be written, and nobody else may look into them."""
    paths = patient.paths
    open_to_others, foreign, closed = [], [], []
    for path in (paths.data, paths.cache, paths.runtime, paths.logs, paths.config):
        nearest = path
        while not os.path.lexists(nearest):
            nearest = nearest.parent  # where it would be made
        if path != paths.config and not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
            closed.append(str(nearest))
        try:
            status = path.stat()
        except OSError:
            continue  # not made yet
        # What is set may be read by others, what was written may not.
        forbidden = 0o022 if path == paths.config else 0o077
        if status.st_uid != os.geteuid():
            foreign.append(str(path))
        elif status.st_mode & forbidden:
            open_to_others.append(str(path))
    if foreign:
        return "failed", f"not yours: {', '.join(foreign)}", f"chown -R $USER {' '.join(foreign)}"
    if closed:
        folders = " ".join(dict.fromkeys(closed))
        remedy = f"chmod u+rwx {folders}"
        if any(os.statvfs(folder).f_flag & os.ST_RDONLY for folder in closed):
            remedy = "check the disk and mount it for writing"
        remedy += ", or set AFTERWORD_HOME to a folder that can be written"
        return "failed", f"nothing can be written in {folders}", remedy
    if open_to_others:
        folders = " ".join(open_to_others)
        return "failed", f"others may look into {folders}", f"chmod 700 {folders}"
    return "ok", "all of them are for you alone"


def _disk(patient: Patient) -> Found:
    """Room for models."""
    folder = patient.paths.data
    while not os.path.lexists(folder):
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GB free in {folder}"
    if free < LITTLE_ROOM:
        return "failed", found, "free some space, or set AFTERWORD_HOME to another disk"
    if free < SOME_ROOM:
        return "warning", f"{found}, little for learning", "free some space"
    return "ok", found


# -- the model ---------------------------------------------------------------------------------


def _base(patient: Patient) -> Found:
    """The model that comes with Afterword is whole."""
    entry = next((entry for entry in patient.entries if entry.id == "base"), None)
    if entry is None:
        what = f"{patient.paths.base}: there is none"
        return "failed", what, "install Afterword from a release, or unset AFTERWORD_BASE"
    if entry.problem:
        return "failed", f"{patient.paths.base}: {entry.problem}", "install Afterword again"
    return "ok", f"whole, {entry.size / 1e6:.0f} MB"


def _model(patient: Patient) -> Found:
    """The model in use is whole; its age and score."""
    broken = [entry for entry in patient.entries if entry.problem and entry.id != "base"]
    current = next((entry for entry in patient.entries if entry.is_current), None)
    if current is None:
        own = [entry for entry in patient.entries if entry.id != "base"]
        if own:
            return "warning", "none is in use; the base model serves", "trainer models"
        return "ok", "base; nothing of yours was learned yet (trainer learn ~/notes)"
    if current.problem:
        what = f"{current.id}: {current.problem}"
        return "failed", what, "trainer rollback, or learn again: trainer learn ~/notes"
    told = Model(id=current.id, created=current.created, scores=current.scores)
    found = view.model(told, time.time())
    if current.id == "base":
        found += "; nothing of yours was learned yet"
    if broken:
        names = ", ".join(entry.id for entry in broken)
        return "warning", f"{found}; damaged: {names}", f"trainer remove {broken[0].id}"
    return "ok", found


def _audit(patient: Patient) -> Found:
    """The model in use knows none of the secrets that were kept from it."""
    from afterword_trainer.model.bundle import MANIFEST, unseal

    current = next((entry for entry in patient.entries if entry.is_current), None)
    if current is None or current.id == "base":
        return "skipped", "nothing of yours was learned yet"
    if current.problem:
        return "skipped", "the model cannot be read, see `model`"
    folder = patient.paths.models / current.id
    provenance = unseal((folder / MANIFEST).read_bytes())["provenance"]
    if "audit" not in provenance:
        return "skipped", f"{current.id} was made elsewhere, or before models were asked"
    audit = provenance["audit"]
    if audit is None:
        return "ok", f"no secret was found in what {current.id} has learned"
    secrets = view.n_of(audit["n_secrets"], "secret")
    found = (
        f"{secrets} kept from {current.id}, of which it knows {audit['n_learned']} by heart "
        f"(mean exposure {audit['mean']:.1f} bits; chance gives up to {audit['bound']:.1f}, and a "
        f"model that never saw them had {audit['before']:.1f})"
    )
    if not audit["passed"]:
        return "failed", found, f"trainer rollback, then: trainer remove {current.id}"
    return "ok", found


def _serving(patient: Patient) -> Found:
    """The model answers, and as its weights say."""
    # In a process of its own: a library that was built for another processor ends it.
    code = "import sys; from afterword_daemon import doctor; doctor.self_test(*sys.argv[1:])"
    result = subprocess.run(
        [sys.executable, "-c", code, str(patient.paths.models), str(patient.paths.base)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        return "failed", f"the model cannot be asked: {last}", "install Afterword again"
    test = json.loads(result.stdout.splitlines()[-1])
    found = f"{test['by']} answers, {test['step_us']:.0f} µs for a character"
    if test["difference"] > 0.05:
        return "failed", f"{found}, but not as the weights say", "install Afterword again"
    if test["by"] != "LiteRT":
        what = f"{found}; LiteRT is not there, so suggestions are slower"
        return "warning", what, "pip install ai-edge-litert, where there is one for this machine"
    return "ok", found


def self_test(models: str, base: str) -> None:
    """Ask the model that serves through its graph and by numpy; print how the two compare."""
    import numpy as np
    from afterword_trainer.model.step import LiteRtStep, NumpyStep, open_step
    from afterword_trainer.shelf import Shelf

    shelf = Shelf(Path(models), Path(base))
    sound = [entry for entry in shelf.entries() if not entry.problem]
    bundle = shelf.load(next((entry.id for entry in sound if entry.is_current), "base"))
    step = open_step(bundle.spec, bundle.weights, bundle.graphs)
    oracle = NumpyStep(bundle.spec, bundle.weights)
    states = [np.zeros(bundle.spec.state_shape(1), np.float32)] * 2
    difference, seconds = 0.0, []
    for symbol in bundle.alphabet.encode("The same answer by both ways?"):
        symbols = np.array([symbol])
        started = time.perf_counter()
        logits, states[0] = step(symbols, states[0])
        seconds.append(time.perf_counter() - started)
        exact, states[1] = oracle(symbols, states[1])
        likely = [np.exp(given - given.max()) for given in (logits, exact)]
        pair = [given / given.sum() for given in likely]
        difference = max(difference, float(np.abs(pair[0] - pair[1]).max()))
    by = "LiteRT" if isinstance(step, LiteRtStep) else "numpy"
    step_us = 1e6 * float(np.median(seconds))
    print(json.dumps({"by": by, "difference": difference, "step_us": step_us}))


def _learning(patient: Patient) -> Found:
    """TensorFlow is there; it is not loaded."""
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    if find_spec("tensorflow") is None:
        what = "TensorFlow is not there: suggestions work, learning does not"
        return "warning", what, f"{sys.executable} -m pip install --upgrade afterword"
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return "ok", f"TensorFlow {version(name)} is there"
        except PackageNotFoundError:
            continue
    return "ok", "TensorFlow is there"


# -- the daemon --------------------------------------------------------------------------------


def _daemon(patient: Patient) -> Found:
    """It answers, and is of this version."""
    match patient.daemon:
        case client.NotRunningError() if pid := endpoint.holder(patient.paths):
            what = f"process {pid} is at work and cannot be connected to"
            return "failed", what, "afterword restart"
        case client.NotRunningError() if obstacle := starting.obstacle(patient.paths):
            what, _, remedy = obstacle.partition("; ")
            return "failed", what, remedy
        case client.NotRunningError():
            return "skipped", "not running; the first editor starts it, or: afterword start"
        case client.LostError() as error:
            # What it says for itself may lead here; this ends also what does not answer.
            return "failed", str(error).partition("; ")[0], "afterword restart"
        case client.DaemonError() as error:
            what, _, remedy = str(error).partition("; ")
            return "failed", what, remedy or "afterword restart"
        case status:
            pass
    found = f"running as process {status.pid}, answers in {1000 * patient.answer_s:.0f} ms"
    if status.build != endpoint.build():
        what = f"{found}, but is of version {status.build}"
        return "warning", what, "afterword restart"
    if status.detail:
        what = f"{found}, but: {status.detail}"
        return "warning", what, "see the checks config, disk, model and watching"
    return "ok", found


def _watching(patient: Patient) -> Found:
    """Folders watched: each is there and is read, and what came of the last training."""
    from afterword_trainer.durable import StateError
    from afterword_trainer.forgotten import Forgotten

    from afterword_daemon import config, pause, trainee

    settings, _ = config.in_force(patient.paths)
    if settings is config.SILENT:
        return "skipped", "the settings cannot be read, see `config`"
    try:  # of files that are merely open in an editor nothing is learned either
        Forgotten.load(patient.paths)
    except StateError as error:
        what, _, remedy = str(error).partition("; ")
        return "failed", f"no file is read: {what}", remedy or "make it a file that you can read"
    if not settings.watch:
        return "skipped", "no folder is watched (afterword watch add FOLDER)"
    if not settings.learning.enable:
        return "skipped", "learning is off: learning.enable is false"
    if pause.holds(patient.paths):
        return "skipped", "learning is paused; to go on: afterword resume"
    if isinstance(patient.daemon, client.DaemonError):
        lost = [str(folder) for folder in settings.watch if not folder.is_dir()]
        if lost:
            what = f"{', '.join(lost)}: there is no such folder"
            return "warning", what, f"afterword watch remove {shlex.quote(lost[0])}"
        return _SKIPPED
    daemon = patient.daemon
    told, remedy = [], ""
    for folder in daemon.watched:
        mode = folder.mode or "not read yet"
        n = view.n_of(folder.files, "file")
        told.append(f"{folder.path}: {n}" + ("" if mode == "events" else f", {mode}"))
        if folder.detail:
            told.append(folder.detail)
        if folder.mode == "missing":
            remedy = (
                remedy or f"afterword watch remove {shlex.quote(folder.path)}, or bring it back"
            )
        elif folder.detail:
            _, _, said = folder.detail.partition("; ")
            remedy = remedy or said or "afterword logs, then: afterword restart"
    last = daemon.learning.last
    if last:
        told.append(f"the last training: {last.sentence}")
        if last.how == "died":
            remedy = remedy or f"see {patient.paths.logs / trainee.ERRORS}"
    found = "\n".join(told)
    return ("warning", found, remedy) if remedy else ("ok", found)


def _forgotten(patient: Patient) -> Found:
    """What was to be forgotten is out of every model."""
    from afterword_trainer import durable, forget

    from afterword_daemon import forgetting

    waiting, last = forgetting.stored(patient.paths)
    if last and last.how == "died":
        what, _, remedy = last.sentence.partition("; to try again: ")
        return "warning", what, remedy
    if waiting:
        if isinstance(patient.daemon, client.DaemonError):
            what = f"{view.n_of(waiting, 'path')} still to be taken out of models"
            return "warning", what, "afterword start"
        return "ok", f"at it, {view.n_of(waiting, 'path')} to go"
    with suppress(durable.StateError):  # what is damaged `_damaged` tells
        if what := forget.unfinished(patient.paths):
            return "warning", what, "trainer forget"
    return "ok", last.sentence if last else "nothing waits for it"


def _damaged(patient: Patient) -> Found:
    """Nothing of ours was found damaged and set aside."""
    from afterword_trainer import durable, ledger

    from afterword_daemon import aside

    files = aside.found(patient.paths)
    found = [f"{aside.sentence([file])}: {file.name}" for file in files]
    _, n_damaged = durable.read_records(patient.paths.data / ledger.NAME)
    if n_damaged:  # which nobody can mend
        found.append(str(ledger.Ledger(entries=(), n_damaged=n_damaged).problem))
    told = "\n".join(found) or "nothing was damaged"
    if not files:
        return "ok", told
    return "warning", told, f"rm -r {' '.join(shlex.quote(str(file)) for file in files)}"


def _socket(patient: Patient) -> Found:
    """Only you can reach it."""
    if isinstance(patient.daemon, client.DaemonError):
        return _SKIPPED
    note = endpoint.read(patient.paths)
    if note is None:
        what = f"{endpoint.note_of(patient.paths)} is gone; clients look in the usual places"
        return "warning", what, "afterword restart"
    path = Path(note.socket)
    try:
        file, folder = path.lstat(), path.parent.lstat()
    except OSError as error:
        return "failed", f"{path}: {(error.strerror or 'gone').lower()}", "afterword restart"
    if not stat.S_ISSOCK(file.st_mode) or {file.st_uid, folder.st_uid} != {os.geteuid()}:
        return "failed", f"{path} is not a socket of yours", "afterword restart"
    for at, mode in ((path, file.st_mode), (path.parent, folder.st_mode)):
        if mode & 0o077:
            return "failed", f"{at} is open to others", "afterword restart"
    return "ok", f"{path}, for you alone"


def _seccomp(patient: Patient) -> Found:
    """The kernel keeps it from the network."""
    if isinstance(patient.daemon, client.DaemonError):
        return _SKIPPED
    if sys.platform != "linux":
        return "skipped", "this system has no such filter; see `network`"
    try:
        status = Path(f"/proc/{patient.daemon.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return "warning", "the kernel does not tell", "mount /proc, then: afterword doctor seccomp"
    if "\nSeccomp:\t2\n" in status:
        return "ok", "the kernel refuses the daemon every socket but those of this machine's own"
    what = "the kernel took no filter of system calls: nothing of ours uses the network, unenforced"
    return "warning", what, "start it outside of this container or emulation"


def _network(patient: Patient) -> Found:
    """It has no connection and listens on no port."""
    if isinstance(patient.daemon, client.DaemonError):
        return _SKIPPED
    import psutil

    try:
        daemon = psutil.Process(patient.daemon.pid)
        processes = [daemon, *daemon.children(recursive=True)]
        found = [c for process in processes for c in process.net_connections(kind="inet")]
    except psutil.AccessDenied:
        # The daemon lets no other process look into it, as it should; so it has to say it.
        if patient.daemon.network == 0:
            return "ok", "no connection, no listening port, by its own account; see seccomp"
        return "failed", "it says that it holds sockets of the network", "afterword stop"
    except psutil.NoSuchProcess:
        return "skipped", "the daemon ended meanwhile"
    if found:
        ports = ", ".join(sorted({f"{c.laddr} {c.status}" for c in found}))
        return "failed", f"it holds sockets of the network: {ports}", "afterword stop; report this"
    return "ok", "no connection, no listening port"


def _memory(patient: Patient) -> Found:
    """It takes no more than was promised."""
    if isinstance(patient.daemon, client.DaemonError):
        return _SKIPPED
    found = view.memory(patient.daemon)
    if patient.daemon.resident > MAX_RESIDENT:
        return "warning", f"{found}; over {MAX_RESIDENT >> 20} MB", "afterword restart"
    return "ok", found


def _log(patient: Patient) -> Found:
    """No errors were written since it was started."""
    path = patient.paths.logs / endpoint.LOG
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "skipped", "there is none yet"
    # Those before are about a daemon that is gone; else one error would be told for ever.
    starts = [number for number, line in enumerate(lines) if " INFO ready: " in line]
    lines = lines[starts[-1] :] if starts else lines
    errors = [line for line in lines if " ERROR " in line or " CRITICAL " in line]
    if errors:
        n = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        what = f"{n} in {path}, the last: {errors[-1][:200]}"
        return "warning", what, "afterword logs, then: afterword restart"
    return "ok", f"no errors in {path} since the last start"


# -- around it ---------------------------------------------------------------------------------


def _editors(patient: Patient) -> Found:
    """Which ones there are, and whether their plug-ins are of this version."""
    from afterword_daemon import plugins

    with suppress(plugins.PluginError):  # one that cannot be made cannot be compared
        for name, plugin in (
            ("neovim", plugins.neovim()),
            ("vscode", plugins.vscode(patient.paths)),
        ):
            if plugin.is_installed and not (plugin.is_current or plugin.is_foreign or plugin.lack):
                what = f"{plugin.folder} is of another version, or an editor has come since"
                return "warning", what, f"afterword install {name}"
    ours = {program: name for program, (name, _) in plugins.KIN.items()} | {"nvim": "Neovim"}
    found, others = _programs(ours), _programs(EDITORS)
    told = [", ".join(found)] if found else []
    if others:
        told.append(f"by a few lines of your own (editors/README.md): {', '.join(others)}")
    if not told:
        return "skipped", "none found; any that speaks LSP can start afterword-lsp"
    return "ok", "; ".join(told)


def _programs(known: Mapping[str, str]) -> list[str]:
    """What those are called that are here."""
    return [name for program, name in known.items() if shutil.which(program)]


def _login(patient: Patient) -> Found:
    """Whether it starts with your login."""
    from afterword_daemon import service

    try:
        known = service.of_this_system()
    except service.ServiceError:
        return "skipped", "no login service is known here"
    if not known.is_installed:
        return "skipped", "not set up, as nobody asked (afterword install login)"
    if known.is_foreign:
        return "skipped", f"{known.path} is not Afterword's own, so it is left alone"
    if not known.is_ours:
        what = f"{known.path} is of another version or installation"
        return "warning", what, "afterword install login"
    return "ok", f"starts at login by {known.path}"


_SKIPPED: Found = ("skipped", "the daemon is not running")

CHECKS: Mapping[str, Callable[[Patient], Found]] = {
    "install": _install,
    "config": _config,
    "folders": _folders,
    "disk": _disk,
    "base": _base,
    "model": _model,
    "audit": _audit,
    "serving": _serving,
    "daemon": _daemon,
    "watching": _watching,
    "forgotten": _forgotten,
    "damaged": _damaged,
    "socket": _socket,
    "network": _network,
    "seccomp": _seccomp,
    "memory": _memory,
    "log": _log,
    "learning": _learning,
    "editors": _editors,
    "login": _login,
}
