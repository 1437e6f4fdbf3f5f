"""Being found: the lock, the socket in its private folder, what others left there, whose it is."""

import os
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from afterword_daemon import endpoint
from afterword_daemon.endpoint import Endpoint, EndpointError
from afterword_trainer.durable import LockedError
from afterword_trainer.paths import Paths
from daemons import foreigner, paths_in

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def listened(paths: Paths) -> "Callable[[], endpoint.Listener]":
    """A way to listen in the home of this test."""
    with ExitStack() as stack:

        def listen() -> endpoint.Listener:
            listener = endpoint.listen(paths)
            stack.callback(listener.socket.close)
            return listener

        yield listen


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_socket_is_private(paths: Paths, listened: Callable[[], endpoint.Listener]) -> None:
    """0600 in a folder that is 0700, whatever the umask, and connected to without a note."""
    mask = os.umask(0)
    try:
        listener = listened()
    finally:
        os.umask(mask)
    assert listener.path.parent == paths.runtime
    assert (mode_of(listener.path), mode_of(listener.path.parent)) == (0o600, 0o700)
    connected = endpoint.connect(paths)
    assert connected
    connected.close()


def test_the_note_says_where(paths: Paths, listened: Callable[[], endpoint.Listener]) -> None:
    """What a daemon announces, a client reads; what it withdraws is gone, the socket with it."""
    listener = listened()
    endpoint.announce(paths, listener, protocol=7, started=12.5)

    assert endpoint.read(paths) == Endpoint(
        socket=str(listener.path),
        pid=os.getpid(),
        protocol=7,
        build=endpoint.build(),
        started=12.5,
    )
    assert mode_of(endpoint.note_of(paths)) == 0o600
    endpoint.withdraw(paths, listener)
    assert (endpoint.read(paths), listener.path.exists()) == (None, False)


def test_a_socket_that_is_not_ours_any_more_is_left(
    paths: Paths, listened: Callable[[], endpoint.Listener]
) -> None:
    """Names can be taken by others; a file is known by its number."""
    listener = listened()
    listener.path.unlink()
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(listener.path))

    assert not listener.is_in_place()
    endpoint.withdraw(paths, listener)
    assert listener.path.exists()
    other.close()


@pytest.mark.parametrize(
    "note",
    [b"", b"{", b"null", b'{"socket":1}', b"x" * 10_000, b'{"socket":"","pid":1,"protocol":1}'],
)
def test_a_note_that_cannot_be_understood_is_none(paths: Paths, note: bytes) -> None:
    """Whatever a crash or a stranger left there."""
    paths.data.mkdir(parents=True)
    endpoint.note_of(paths).write_bytes(note)

    assert endpoint.read(paths) is None
    assert endpoint.connect(paths) is None


@pytest.mark.parametrize("address", ["", "/", "relative", "\0abstract", "x" * 300, "/nowhere/s"])
def test_a_note_that_leads_nowhere_leads_nowhere(paths: Paths, address: str) -> None:
    """Not to another place, and to no error."""
    paths.data.mkdir(parents=True)
    note = f'{{"socket":"{address}","pid":1,"protocol":1,"build":"","started":0}}'
    endpoint.note_of(paths).write_text(note.replace("\0", "\\u0000"))

    assert endpoint.connect(paths) is None


def test_there_is_one_lock(paths: Paths) -> None:
    """Who comes second hears that there is another one."""
    with (
        endpoint.claimed(paths),
        pytest.raises(LockedError, match=f"process {os.getpid()} is at work"),
        endpoint.claimed(paths, wait_s=0),
    ):
        pass
    with endpoint.claimed(paths, wait_s=0):
        pass


@pytest.mark.parametrize("kernel_tells", [True, False])
def test_who_holds_the_lock_is_known(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, kernel_tells: bool
) -> None:
    """By the kernel, or by a note that its writer must have been there to write."""
    if not kernel_tells:
        monkeypatch.setattr(endpoint, "LOCKS", paths.data / "nothing")
    elif not endpoint.LOCKS.exists():
        pytest.skip("this system has no list of locks")
    lock = endpoint.lock_of(paths)
    note = lock.with_name(f"{lock.name}.pid")
    assert endpoint.holder(paths) is None
    with endpoint.claimed(paths):
        assert endpoint.holder(paths) == os.getpid()
        if not kernel_tells:
            os.utime(note, (1, 1))  # so that another process of this number has written it
            assert endpoint.holder(paths) is None
            note.write_text("a process", encoding="utf-8")
            assert endpoint.holder(paths) is None
    note.write_text(str(os.getpid()), encoding="utf-8")
    assert endpoint.holder(paths) is None


# -- what others left --------------------------------------------------------------------------


def stale_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place))


def folder_with_a_file(place: Path) -> None:
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")


IN_THE_PLACE_OF_THE_SOCKET: dict[str, Callable[[Path], object]] = {
    "stale socket": stale_socket,
    "file": lambda place: place.write_text("hello"),
    "folder": folder_with_a_file,
    "pipe": os.mkfifo,
    "link to nothing": lambda place: place.symlink_to("nothing"),
    "link to a file": lambda place: place.symlink_to(__file__),
}


@pytest.mark.parametrize("what", IN_THE_PLACE_OF_THE_SOCKET)
def test_whatever_lies_in_its_place_the_socket_is_made(
    paths: Paths, listened: Callable[[], endpoint.Listener], what: str
) -> None:
    """A stale socket is removed; anything else might be dear to somebody, and is set aside."""
    place = endpoint.candidates(paths)[0]
    place.parent.mkdir(parents=True)
    IN_THE_PLACE_OF_THE_SOCKET[what](place)

    assert listened().path == place
    others = [path for path in place.parent.iterdir() if path != place]
    assert len(others) == (0 if what == "stale socket" else 1)


IN_THE_PLACE_OF_THE_FOLDER: dict[str, tuple[Callable[[Path], object], bool]] = {
    # What is there, and whether the folder can be used all the same.
    "open to all": (lambda place: (place.mkdir(), place.chmod(0o777)), True),
    "file": (lambda place: place.write_text("hello"), False),
    "pipe": (os.mkfifo, False),
    "link": (lambda place: place.symlink_to("/tmp"), False),
    "link to nothing": (lambda place: place.symlink_to("nothing"), False),
    "somebody else's": (lambda place: (place.mkdir(), os.chown(place, 65534, 65534)), False),
}


@pytest.mark.parametrize("what", IN_THE_PLACE_OF_THE_FOLDER)
def test_the_folder_is_our_own_or_another_one(
    paths: Paths, listened: Callable[[], endpoint.Listener], what: str
) -> None:
    """Who owns the folder could put a socket of theirs there."""
    if what == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can give folders away")
    make, is_usable = IN_THE_PLACE_OF_THE_FOLDER[what]
    paths.data.mkdir(parents=True)
    make(paths.runtime)

    listener = listened()

    assert (listener.path.parent == paths.runtime) == is_usable
    assert mode_of(listener.path.parent) == 0o700
    connected = endpoint.connect(paths)
    assert connected
    connected.close()
    endpoint.withdraw(paths, listener)


@pytest.mark.parametrize("n_bytes", range(60, 201, 20))
def test_a_path_that_is_too_long_has_a_short_one_instead(tmp_path: Path, n_bytes: int) -> None:
    """Addresses of sockets end after some hundred bytes; names of folders do not."""
    home = tmp_path / ("x" * max(1, n_bytes - len(str(tmp_path)) - 1))
    paths = paths_in(home)

    listener = endpoint.listen(paths)

    assert len(os.fsencode(listener.path)) <= 103
    connected = endpoint.connect(paths)
    assert connected
    connected.close()
    endpoint.withdraw(paths, listener)


def test_two_homes_have_two_sockets_even_in_one_runtime_folder(tmp_path: Path) -> None:
    """Else the second daemon would take the place of the first."""
    here, there = paths_in(tmp_path / "here"), paths_in(tmp_path / "there")

    assert not {*endpoint.candidates(here)} & {*endpoint.candidates(there)}


def test_where_no_socket_can_be_made_the_reason_is_told(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence that names the place and the remedy."""
    paths.runtime.write_text("in the way")
    monkeypatch.setattr(endpoint, "candidates", lambda paths: [paths.runtime / "one.sock"])

    with pytest.raises(EndpointError, match=r"run: a file is in the way; move it"):
        endpoint.listen(paths)
    paths.runtime.unlink()


# -- whose it is -------------------------------------------------------------------------------


def test_both_ends_know_each_other() -> None:
    """The two ends of a pair are of one user; what is no socket of this kind is nobody's."""
    one, other = socket.socketpair()
    with one, other:
        assert endpoint.is_ours(one)
        assert endpoint.is_ours(other)


def test_where_nobody_can_tell_it_is_not_ours() -> None:
    """The check fails closed."""
    one, other = socket.socketpair()
    other.close()
    one.close()

    assert not endpoint.is_ours(one)


@is_root
def test_a_client_speaks_to_no_daemon_of_another_user(tmp_path: Path) -> None:
    """It might be a trap; not a byte is sent to it."""
    paths = paths_in(tmp_path / "home")
    paths.data.mkdir(parents=True)
    trap = Path(f"/tmp/aw-trap-{os.getpid()}")
    listening = foreigner(
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True)\n"
        "c, _ = s.accept(); print(c.recv(100))\n",
        str(trap),
    )
    try:
        assert listening.stdout
        listening.stdout.readline()
        note = f'{{"socket":"{trap}","pid":1,"protocol":1,"build":"","started":0}}'
        endpoint.note_of(paths).write_text(note)

        assert endpoint.connect(paths) is None
        assert listening.communicate(timeout=10)[0] == "b''\n"
    finally:
        listening.kill()
        listening.wait()
        trap.unlink(missing_ok=True)


@is_root
def test_another_user_does_not_even_reach_the_socket(
    paths: Paths, listened: Callable[[], endpoint.Listener]
) -> None:
    """The folder keeps them out, before anything of ours has to."""
    listener = listened()
    listener.path.chmod(0o666)
    paths.data.parent.chmod(0o755)

    other = foreigner(
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError: print('refused')\n",
        str(listener.path),
    )
    assert other.communicate(timeout=10)[0] == "refused\n"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_sockets_that_are_not_local_are_counted(family: int, kind: int) -> None:
    """Connected or not; local ones are none of them, and all are left open."""
    before = endpoint.n_network_sockets()
    with ExitStack() as stack:
        for end in socket.socketpair():
            stack.enter_context(end)
        assert endpoint.n_network_sockets() == before
        one = stack.enter_context(socket.socket(family, kind))
        assert endpoint.n_network_sockets() == before + 1
        one.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        assert endpoint.n_network_sockets() == before + 1
    assert endpoint.n_network_sockets() == before
