"""What the daemon takes away from itself before it loads anything: the network, traces on disk.

Knows system calls; knows nothing of sockets that are allowed. On Linux the kernel enforces it: a
filter that cannot be removed and that every thread and child inherits. It is probed at each start,
because a filter that is not in force is worse than none. Elsewhere the daemon is unconfined, and
says so.
"""

import ctypes
import errno
import logging
import os
import resource
import struct
import sys
from typing import Final, Literal, NamedTuple

logger = logging.getLogger(__name__)

Confinement = Literal["seccomp", "none"]


def leave_no_traces() -> None:
    """What this process writes is for its user alone, and its memory, full of text, is in no core.

    Nor may another process of the user read that memory, where the system can forbid it.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def confine() -> Confinement:
    """From here on, no socket but a Unix-domain one can be made, here or in children; by what."""
    machine = _MACHINES.get(os.uname().machine) if sys.platform == "linux" else None
    if machine is None or sys.maxsize < 1 << 32:  # 32 bits on a kernel of 64 call it otherwise
        return "none"
    if not _install(_filter(machine)):
        logger.warning("the kernel takes no filter of system calls; the daemon is not confined")
        return "none"
    if not is_confined():
        logger.error("the filter of system calls does not hold; the daemon is not confined")
        return "none"
    return "seccomp"


def is_confined() -> bool:
    """Whether making a socket of the Internet fails in this process, IPv4 and IPv6."""
    libc = ctypes.CDLL(None, use_errno=True)
    for family in (_AF_INET, _AF_INET6):
        descriptor = libc.socket(family, _SOCK_STREAM, 0)
        if descriptor >= 0:
            os.close(descriptor)
            return False
    return True


# -- the filter --------------------------------------------------------------------------------


class _Machine(NamedTuple):
    """The numbers by which a processor's Linux knows things."""

    architecture: int  # AUDIT_ARCH_*
    socket: int  # system calls
    seccomp: int


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, socket=41, seccomp=317),
    "aarch64": _Machine(0xC00000B7, socket=198, seccomp=277),
}
_IO_URING_SETUP = 425  # everywhere; its rings make sockets without the call
_FIRST_X32 = 0x40000000  # on x86-64, the same calls once more under other numbers
_PIDFD_GETFD = 438  # everywhere; takes a socket from another process of the user
_AF_UNIX, _AF_INET, _AF_INET6, _SOCK_STREAM = 1, 2, 10, 1
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1

# Classic BPF: load a word of `struct seccomp_data`; jump if equal or not less; return.
_LOAD, _IF_EQUAL, _IF_NOT_LESS, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where in it; the low half of the argument
_KILL, _ALLOW, _REFUSE = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EACCES


def _filter(machine: _Machine) -> bytes:
    """Thirteen instructions: operation, how many to skip if true and if false, operand."""
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_NOT_LESS, 6, 0, _FIRST_X32),
        (_IF_EQUAL, 5, 0, _IO_URING_SETUP),
        (_IF_EQUAL, 4, 0, _PIDFD_GETFD),
        (_IF_EQUAL, 1, 0, machine.socket),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _install(program: bytes) -> bool:
    """Put the filter in force for all threads; whether the kernel took it."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    number = _MACHINES[os.uname().machine].seccomp
    libc = ctypes.CDLL(None, use_errno=True)
    pointer = ctypes.byref(Program(len(program) // 8, program))
    # Else only root may install filters, as they could mislead programs that have more rights.
    if not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        return False
    result = libc.syscall(
        ctypes.c_long(number),
        ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_ulong(_SECCOMP_FILTER_FLAG_TSYNC),
        pointer,
    )
    return bool(result == 0)


def _prctl(option: int, value: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return bool(libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero) == 0)
