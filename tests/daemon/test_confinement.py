"""What the daemon cannot do any more, tried in processes of their own: it is for good."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")

TRY = """
import errno, resource, socket, stat, subprocess, sys, threading, os
from afterword_daemon import confinement

def refused(family, kind=socket.SOCK_STREAM):
    try:
        socket.socket(family, kind).close()
    except PermissionError:
        return True
    return False
"""


def tried(code: str) -> list[str]:
    """The lines that `code` prints in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", TRY + code], capture_output=True, text=True, check=True, timeout=60
    )
    return result.stdout.splitlines()


def test_no_socket_leaves_the_machine() -> None:
    """Neither here, nor in a thread that ran before, nor in a child; local ones are as before."""
    told = tried("""
go, found = threading.Event(), []
thread = threading.Thread(target=lambda: (go.wait(), found.append(refused(socket.AF_INET))))
thread.start()
print(confinement.is_confined(), confinement.confine(), confinement.is_confined())
go.set()
thread.join()
print(found)
print([refused(family) for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)])
print([refused(family, socket.SOCK_RAW) for family in (socket.AF_PACKET, socket.AF_NETLINK)])
for end in socket.socketpair():
    end.close()
child = [sys.executable, "-c", "import socket; socket.socket()"]
print("PermissionError" in subprocess.run(child, capture_output=True, text=True).stderr)
""")

    assert told == ["False seccomp True", "[True]", "[True, True, False]", "[True, True]", "True"]


def test_the_ways_around_the_call_are_closed() -> None:
    """io_uring makes sockets without it; pidfd_getfd takes another process's."""
    told = tried("""
import ctypes
confinement.confine()
libc = ctypes.CDLL(None, use_errno=True)
for number in (425, 438, 0x40000000 + 41):
    print(libc.syscall(ctypes.c_long(number), 2, 1, 0), errno.errorcode[ctypes.get_errno()])
""")

    assert told == ["-1 EACCES"] * 3


def test_a_filter_that_does_not_hold_is_not_relied_on() -> None:
    """The probe finds out, whatever the kernel said when it took the filter."""
    told = tried("""
import struct
confinement._filter = lambda machine: struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
print(confinement.confine(), refused(socket.AF_INET))
""")

    assert told == ["none False"]


def test_a_processor_that_is_not_known_is_unconfined_and_says_so() -> None:
    """The numbers of system calls differ; a filter made of wrong ones would be a trap."""
    told = tried("""
confinement._MACHINES.clear()
print(confinement.confine(), refused(socket.AF_INET))
""")

    assert told == ["none False"]


def test_what_is_written_is_private_and_memory_stays_out_of_cores() -> None:
    """Files are this user's alone, no core is written, no other process may look in."""
    told = tried("""
confinement.leave_no_traces()
print(oct(os.umask(0)), resource.getrlimit(resource.RLIMIT_CORE))
import ctypes
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
""")

    assert told == ["0o77 (0, 0)", "0"]
