"""The doctor: whatever is wrong is found by its check and has a remedy; nothing changes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import msgspec
import pytest
from afterword_daemon import client, config, doctor, endpoint, forgetting, pause, service
from afterword_daemon.client import Connection
from afterword_daemon.doctor import Finding
from afterword_daemon.protocol import Learning, Status, Training, Watched
from afterword_trainer import ledger
from afterword_trainer.forgotten import NAME as FORGOTTEN
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.ledger import Entry
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry
from afterword_trainer.shelf import Shelf
from daemons import eventually, lives, odd, pid_of

Start = Callable[..., Connection]


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What whoever runs the tests has set up for the login is no concern of theirs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def found(paths: Paths, *names: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor.examine(paths, names)}


def one(paths: Paths, name: str) -> Finding:
    return found(paths, name)[name]


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything in a folder, with what changes when something is written."""
    return {
        str(path.relative_to(folder)): (status.st_mode, status.st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        for status in (path.lstat(),)
        if path.name != "daemon.log"  # in which the daemon notes who came
    }


def test_all_is_well_and_stays_as_it_is(served: Paths) -> None:
    """Every check ends, none finds anything, nothing is written; what is skipped says why."""
    before = tree(served.config.parent)
    loaded = {*sys.modules}
    findings = found(served)

    assert [*findings] == [*doctor.CHECKS]
    bad = {finding.check: finding for finding in findings.values() if finding.state == "failed"}
    assert bad == {}
    for name in ("config", "folders", "base", "model", "daemon", "socket", "network", "memory"):
        assert findings[name].state == "ok", findings[name]
    assert all(finding.found for finding in findings.values())
    assert all(f.remedy for f in findings.values() if f.state == "warning")
    assert not {"tensorflow", "keras"} & ({*sys.modules} - loaded)
    assert tree(served.config.parent) == before


def test_it_does_not_start_what_is_not_running(paths: Paths) -> None:
    """A home in which nothing was ever done is healthy, and is left without a single file."""
    findings = found(paths)
    for name in ("daemon", "socket", "network", "seccomp", "memory", "log", "login"):
        assert findings[name].state == "skipped", findings[name]
    assert not any(finding.state == "failed" for finding in findings.values())
    assert [path.name for path in paths.config.parent.iterdir()] == ["base"]


# -- without a daemon --------------------------------------------------------------------------


def write_settings(paths: Paths) -> None:
    paths.config.mkdir()
    config.path_of(paths).write_text("sede = 1\ntrigger = 3\n", encoding="utf-8")


def open_data(paths: Paths) -> None:
    paths.data.mkdir()
    paths.data.chmod(0o755)


def damage_model(paths: Paths) -> None:
    shelf = Shelf(paths.models, paths.base)
    shelf.use(shelf.publish(bases.bundle("you-1")))
    weights = paths.models / "you-1" / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[7] ^= 1
    weights.chmod(0o600)
    weights.write_bytes(data)


def damage_base(paths: Paths) -> None:
    base = paths.base.resolve()
    paths.base.unlink()
    shutil.copytree(base, paths.base)
    (paths.base / "model" / "manifest.json").write_text("{}", encoding="utf-8")


def note_error(paths: Paths) -> None:
    paths.logs.mkdir()
    (paths.logs / "daemon.log").write_text(
        "2031-01-31 12:00:00,000 INFO state: ready\n"
        "2031-01-31 12:00:01,000 ERROR a request failed: KeyError at engine.py:9\n",
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("name", "harm", "state", "what", "remedy"),
    [
        ("config", write_settings, "failed", "line 1: sede is no setting", "config.toml"),
        ("config", write_settings, "failed", "line 2: trigger is", "config.toml"),
        ("folders", open_data, "failed", "others may look", "chmod 700"),
        ("base", damage_base, "failed", "base", "install Afterword"),
        ("base", lambda paths: paths.base.unlink(), "failed", "none", "AFTERWORD_BASE"),
        ("model", damage_model, "failed", "you-1", "trainer rollback"),
        ("serving", damage_base, "failed", "cannot be asked", "install Afterword"),
        ("log", note_error, "warning", "KeyError at engine.py:9", "afterword logs"),
    ],
)
def test_what_is_wrong_is_found_and_has_a_remedy(
    paths: Paths,
    name: str,
    harm: Callable[[Paths], None],
    state: str,
    what: str,
    remedy: str,
) -> None:
    """By the check of its name, before and after which nothing is different."""
    assert one(paths, name).state != state
    harm(paths)
    before = tree(paths.config.parent)
    finding = one(paths, name)
    assert finding.state == state
    assert what in finding.found
    assert remedy in finding.remedy
    assert tree(paths.config.parent) == before


def test_errors_of_a_daemon_that_is_gone_are_not_told(paths: Paths) -> None:
    """Its successor has begun anew; else one error would be a warning for ever."""
    note_error(paths)
    log = paths.logs / "daemon.log"
    ready = "2031-01-31 13:00:00,000 INFO ready: process 7, confinement seccomp\n"
    log.write_text(log.read_text(encoding="utf-8") + ready, encoding="utf-8")
    assert one(paths, "log").state == "ok"

    late = "2031-01-31 14:00:00,000 ERROR a task of the daemon failed: OSError at x.py:1\n"
    log.write_text(log.read_text(encoding="utf-8") + late, encoding="utf-8")
    assert one(paths, "log").found.startswith("1 error in ")


JOURNAL = "/home/somebody/my journal"
DIED = Training(how="died", sentence="training ended with code 1")
BETTER = Training(how="better", sentence="the new model is better")


@pytest.mark.parametrize(
    ("folder", "last", "state", "what", "remedy"),
    [
        (Watched(mode="events", files=1), None, "ok", f"{JOURNAL}: 1 file", ""),
        (Watched(mode="events"), BETTER, "ok", "the last training: the new model is better", ""),
        (Watched(mode="events"), DIED, "warning", "ended with code 1", "training.err"),
        (Watched(), None, "ok", "not read yet", ""),
        (
            Watched(detail="the reader has died; afterword restart"),
            None,
            *("warning", "the reader has died", "afterword restart"),
        ),
        (
            Watched(mode="scanning", files=9, detail="too many folders; sysctl this=that"),
            None,
            *("warning", "9 files, scanning", "sysctl this=that"),
        ),
        (
            Watched(mode="away", detail="a disk is not there; mount it"),
            None,
            "warning",
            "away",
            "mount",
        ),
        (
            Watched(mode="missing"),
            None,
            *("warning", "0 files, missing", f"afterword watch remove '{JOURNAL}'"),
        ),
    ],
)
def test_watched_folders_are_told_as_the_daemon_has_them(
    paths: Paths, folder: Watched, last: Training | None, state: str, what: str, remedy: str
) -> None:
    """How each is read, with its remedy; and what the last training came to."""
    config.watched(paths, add=[paths.base])
    patient = doctor.Patient(paths)
    watched = (msgspec.structs.replace(folder, path=JOURNAL),)
    patient.daemon = Status(watched=watched, learning=Learning(last=last))
    found = doctor.CHECKS["watching"](patient)
    assert found[0] == state
    assert what in found[1]
    assert remedy in " ".join(found[2:])
    assert bool(found[2:]) == bool(remedy)


def test_watched_folders_are_looked_at_without_a_daemon_too(paths: Paths, tmp_path: Path) -> None:
    """What is gone, off, or cannot be told."""
    assert "afterword watch add" in one(paths, "watching").found
    folder = tmp_path / "notes"
    folder.mkdir()
    config.watched(paths, add=[folder])
    assert one(paths, "watching").found == "the daemon is not running"
    folder.rmdir()
    gone = one(paths, "watching")
    assert (gone.state, gone.remedy) == ("warning", f"afterword watch remove {folder}")
    pause.put(paths, is_paused=True)
    assert "afterword resume" in one(paths, "watching").found
    text = config.path_of(paths).read_text(encoding="utf-8")
    config.path_of(paths).write_text("watch = [", encoding="utf-8")
    assert "settings cannot be read" in one(paths, "watching").found
    config.path_of(paths).write_text(text, encoding="utf-8")
    (paths.data / FORGOTTEN).mkdir()
    unreadable = one(paths, "watching")
    assert (unreadable.state, "no file is read" in unreadable.found) == ("failed", True)
    assert unreadable.remedy


def test_nothing_is_learned_while_it_cannot_be_told_what_is_forgotten(paths: Paths) -> None:
    """Of no file, watched or not: it is no matter of watching."""
    paths.data.mkdir(parents=True, exist_ok=True)
    (paths.data / FORGOTTEN).write_bytes(b"{")
    assert one(paths, "watching").state == "failed"


@pytest.mark.parametrize(
    ("waiting", "how", "state", "what", "remedy"),
    [
        ([], "", "ok", "nothing waits for it", ""),
        ([], "rebuilt", "ok", "you-2 was made without it", ""),
        (["/a", "/b"], "", "warning", "2 paths still to be taken out", "afterword start"),
        (["/a"], "died", "warning", "models may still know it", "trainer forget PATH"),
    ],
)
def test_what_is_still_to_be_forgotten_is_told(
    paths: Paths, waiting: list[str], how: str, state: str, what: str, remedy: str
) -> None:
    """By what is on disk; no path is named."""
    said = {
        "rebuilt": "forgotten; you-2 was made without it and is in use",
        "died": "models may still know it: x; to try again: trainer forget PATH",
    }
    last = {"how": how, "sentence": said[how]} if how else None
    facts = {"waiting": [{"path": path} for path in waiting], "last": last}
    paths.data.mkdir(parents=True, exist_ok=True)
    (paths.data / forgetting.NAME).write_text(json.dumps(facts))
    found = one(paths, "forgotten")
    assert (found.state, found.remedy) == (state, remedy)
    assert what in found.found


def test_a_model_that_was_not_made_anew_is_told(paths: Paths) -> None:
    """Somebody killed `trainer forget` on its way; until it has gone on."""
    registry = Registry.load(paths)
    recipe = {"roots": [registry.root("/n").id, registry.root("/m").id], "epochs": 1.0}
    registry.save()
    ledger.add(paths, Entry(what="forgotten", when=ledger.now(), settings={"rebuild": recipe}))
    found = one(paths, "forgotten")
    assert (found.state, found.remedy) == ("warning", "trainer forget")
    Forgotten.load(paths).add("/n", "/m")  # nothing is left that it could be made of
    assert one(paths, "forgotten").state == "ok"
    Forgotten.load(paths).remove("/m")
    assert one(paths, "forgotten").state == "warning"
    ledger.add(paths, Entry(what="rebuilt", when=ledger.now()))
    assert one(paths, "forgotten").state == "ok"


@pytest.mark.parametrize("name", ["learned.json", "ledger"])
def test_a_look_moves_nothing_that_is_damaged(paths: Paths, name: str) -> None:
    """Whoever next needs it sets it aside; a look changes nothing."""
    registry = Registry.load(paths)
    recipe = {"roots": [registry.root("/n").id], "epochs": 1.0}
    registry.save()
    ledger.add(paths, Entry(what="forgotten", when=ledger.now(), settings={"rebuild": recipe}))
    if name == "ledger":
        (paths.data / name).unlink()
        (paths.data / name).mkdir()
    else:
        (paths.data / name).write_bytes(b"no registry")
    before = sorted(paths.data.iterdir())
    assert one(paths, "forgotten").state == "ok"
    assert sorted(paths.data.iterdir()) == before


def test_editors_without_a_plugin_are_told_apart(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need lines of the user's own."""
    for name in ("nvim", "vim", "hx"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = one(paths, "editors").found
    assert found == "Neovim; by a few lines of your own (editors/README.md): Helix, Vim"


AUDIT = {"n_secrets": 3, "mean": 1.31, "bound": 2.4, "before": 1.2, "n_learned": 0, "passed": True}


@pytest.mark.parametrize(
    ("provenance", "state", "what"),
    [
        ({}, "skipped", "or before models were asked"),
        ({"audit": None}, "ok", "no secret was found in what you-1 has learned"),
        ({"audit": AUDIT}, "ok", "it knows 0 by heart (mean exposure 1.3 bits; chance gives up to"),
        ({"audit": AUDIT | {"n_learned": 2, "passed": False}}, "failed", "it knows 2 by heart"),
    ],
)
def test_what_the_model_knows_of_secrets_is_told(
    paths: Paths, provenance: dict[str, Any], state: str, what: str
) -> None:
    """The figure of its manifest; one that failed is not to be used."""
    assert one(paths, "audit").state == "skipped"  # the base has seen nothing of the user's
    shelf = Shelf(paths.models, paths.base)
    shelf.use(shelf.publish(bases.bundle("you-1", provenance=provenance)))
    found = one(paths, "audit")
    assert found.state == state
    assert what in found.found
    assert bool(found.remedy) == (state == "failed")


def test_the_model_that_serves_is_told_with_its_score(paths: Paths) -> None:
    """And a damaged one beside it is a warning, for it takes room and does no harm."""
    shelf = Shelf(paths.models, paths.base)
    for number in (1, 2):
        shelf.use(shelf.publish(bases.bundle(f"you-{number}", scores={"ksr": 37.8})))
    finding = one(paths, "model")
    assert finding.state == "ok"
    assert "you-2" in finding.found
    assert "saves 38 % of keystrokes" in finding.found

    manifest = paths.models / "you-1" / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_text("{}", encoding="utf-8")
    finding = one(paths, "model")
    assert (finding.state, finding.remedy) == ("warning", "trainer remove you-1")


def test_the_model_is_asked_in_both_ways(paths: Paths) -> None:
    """A model without a graph is served by numpy, and that is worth a warning."""
    finding = one(paths, "serving")
    assert finding.state == "warning"
    assert "numpy answers" in finding.found


def test_room_is_told_by_the_disk(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little for learning is a warning, too little for a model fails."""
    assert one(paths, "disk").state != "failed"
    monkeypatch.setattr(doctor, "SOME_ROOM", 1 << 60)
    assert one(paths, "disk").state == "warning"
    monkeypatch.setattr(doctor, "LITTLE_ROOM", 1 << 60)
    assert one(paths, "disk").state == "failed"


def test_programs_are_looked_for_where_the_shell_would(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors by their commands; another `trainer` in front of ours is told."""
    for name in ("nvim", "trainer"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert one(paths, "editors").found == "Neovim"
    finding = one(paths, "install")
    assert finding.state == "warning"
    assert str(tmp_path / "trainer") in finding.found
    monkeypatch.setenv("PATH", "")
    assert one(paths, "editors").state == "skipped"


def test_a_login_service_of_another_installation_is_told(paths: Paths) -> None:
    """It would start another daemon than the editors do."""
    login = replace(service.of_this_system(), after_writing=())
    service.install(login)
    assert one(paths, "login").state == "ok"
    service.install(replace(login, text=login.text.replace("Afterword", "Other")))
    assert one(paths, "login").remedy == "afterword install login"


def test_a_login_service_of_the_users_own_is_left_alone(paths: Paths) -> None:
    """And no remedy would do away with it."""
    login = service.of_this_system()
    login.path.parent.mkdir(parents=True)
    login.path.write_text("# my own\n", encoding="utf-8")
    finding = one(paths, "login")
    assert (finding.state, finding.remedy) == ("skipped", "")


def test_settings_that_cannot_be_read_are_told_with_what_holds(paths: Paths) -> None:
    """Which is nothing of them."""
    paths.config.mkdir()
    config.path_of(paths).write_text("stats = false\nx = \n", encoding="utf-8")
    assert "line 2: not TOML" in one(paths, "config").found
    assert config.NOTHING_HOLDS in one(paths, "config").found


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere"
)
def test_folders_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    """Whether they are there or would have to be made."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})
    paths.data.mkdir(parents=True)
    paths.data.chmod(0o500)
    paths.data.parent.chmod(0o500)
    code = (
        "from afterword_daemon import doctor\nfrom afterword_trainer.paths import Paths\n"
        "for one in doctor.examine(Paths.from_environment(), ['folders']):\n"
        "    print(one.state, one.found, one.remedy, sep='; ')"
    )
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    result = subprocess.run(
        [*(powerless if os.geteuid() == 0 else ()), sys.executable, "-c", code],
        env=os.environ | {"AFTERWORD_HOME": str(paths.data.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    for path in (paths.data.parent, paths.data):
        path.chmod(0o700)

    folders = f"{paths.data} {paths.data.parent}"
    assert result.stdout.startswith(f"failed; nothing can be written in {folders}; chmod u+rwx ")


def test_a_check_that_breaks_is_a_finding(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on."""

    def broken(_: object) -> doctor.Found:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(doctor, "CHECKS", {"config": broken, "disk": doctor.CHECKS["disk"]})
    findings = found(paths)
    assert findings["config"].state == "failed"
    assert "ZeroDivisionError" in findings["config"].found
    assert findings["disk"].state != "failed"


# -- with one ----------------------------------------------------------------------------------


def test_a_socket_that_others_can_reach_is_told(paths: Paths, start: Start) -> None:
    """Its own mode, the folder around it, the note that leads to it."""
    start()
    note = endpoint.read(paths)
    assert note
    path = Path(note.socket)
    assert one(paths, "socket").state == "ok"
    path.chmod(0o660)
    assert one(paths, "socket").found == f"{path} is open to others"
    path.chmod(0o600)
    path.parent.chmod(0o750)
    assert one(paths, "socket").found == f"{path.parent} is open to others"
    path.parent.chmod(0o700)
    endpoint.note_of(paths).unlink()
    finding = one(paths, "socket")
    assert (finding.state, finding.remedy) == ("warning", "afterword restart")


def test_a_daemon_that_is_not_confined_is_told(paths: Paths, start: Start) -> None:
    """The kernel is asked, and not the daemon."""
    start(*odd(confinement___MACHINES={}))
    expected = "warning" if sys.platform == "linux" else "skipped"
    assert one(paths, "seccomp").state == expected


@pytest.mark.skipif(sys.platform != "linux", reason="there is nothing to confine it with")
def test_a_daemon_that_is_confined_is_told(served: Paths) -> None:
    """By the kernel."""
    assert one(served, "seccomp").state == "ok"


def test_a_daemon_of_another_version_is_told(
    paths: Paths, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves, and ought to be replaced; another protocol cannot even be asked."""
    start()
    monkeypatch.setattr(endpoint, "build", lambda: "0.0.1")
    finding = one(paths, "daemon")
    assert (finding.state, finding.remedy) == ("warning", "afterword restart")


@pytest.mark.parametrize("name", ["daemon", "network", "seccomp", "memory"])
def test_a_daemon_that_tells_less_is_examined_too(paths: Paths, name: str) -> None:
    """One of another build may have other facts, and is the reason why somebody asks."""
    patient = doctor.Patient(paths)
    patient.daemon = Status()

    assert doctor.CHECKS[name](patient)[0] in ("ok", "warning", "skipped")


@pytest.mark.parametrize("how", ["it stands still", "its socket is gone"])
def test_the_remedy_for_a_daemon_that_does_not_answer_is_one(
    paths: Paths, start: Start, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It ends the daemon, and another one comes; it does not lead back here."""
    monkeypatch.setattr(client, "GREETING_S", 0.05)
    monkeypatch.setattr(client, "GOING_S", 0.05)
    start()
    pid = pid_of(paths)
    if how == "it stands still":
        os.kill(pid, signal.SIGSTOP)
    else:
        endpoint.candidates(paths)[0].unlink()

    finding = one(paths, "daemon")

    assert (finding.state, finding.remedy) == ("failed", "afterword restart")
    assert client.stop(paths, client="afterword") == "forced"
    assert eventually(lambda: not lives(pid))
    monkeypatch.undo()
    assert start().ask("status")["pid"] != pid
    assert one(paths, "daemon").state == "ok"


def test_a_daemon_that_makes_do_is_told(paths: Paths, start: Start) -> None:
    """It serves by what is sound; what is not is in its own words."""
    write_settings(paths)
    start()
    finding = one(paths, "daemon")
    assert (finding.state, finding.remedy) == (
        "warning",
        "see the checks config, disk, model and watching",
    )
    assert "line 1: sede is no setting" in finding.found


def test_sockets_of_the_network_are_seen(served: Paths) -> None:
    """Whoever listens or is connected, IPv4 or IPv6: here it is this process."""
    patient = doctor.Patient(served)
    assert isinstance(patient.daemon, Status)
    patient.daemon = msgspec.structs.replace(patient.daemon, pid=os.getpid())
    check = doctor.CHECKS["network"]
    assert check(patient)[0] == "ok"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state, what, _ = check(patient)
        assert state == "failed"
        assert str(listener.getsockname()[1]) in what


def test_more_memory_than_promised_is_told(served: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what takes it."""
    assert "network" in one(served, "memory").found
    monkeypatch.setattr(doctor, "MAX_RESIDENT", 1 << 20)
    assert one(served, "memory").state == "warning"
