"""Starting at login: what the system is told, and how it is undone.

Knows systemd's user units and launchd's agents; knows nothing of what the daemon does. Nothing
here happens unless somebody asks for it, and nothing needs more rights than the user has.

    ServiceError    it cannot be set up, or taken back
"""

import os
import plistlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from afterword_trainer import durable

# What makes the daemon look for its folders elsewhere; a login has them no more than `cron` does.
PASSED_ON = (
    *("AFTERWORD_HOME", "AFTERWORD_BASE"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"),
)
COMMAND = (sys.executable, "-m", "afterword_daemon.cli", "run", "--stay")
TIMEOUT_S = 20.0  # systemctl waits for what it stops; the daemon takes a second at most


class ServiceError(Exception):
    """What was asked cannot be done here; one sentence with its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One file, and the commands that make the system look at it."""

    path: Path
    text: str
    mark: str  # how a file of ours begins, of whatever version
    after_writing: Sequence[Sequence[str]] = ()
    before_removing: Sequence[Sequence[str]] = ()
    after_removing: Sequence[Sequence[str]] = ()

    @property
    def is_installed(self) -> bool:
        """Whether there is such a file; it may be an older one."""
        return os.path.lexists(self.path)

    @property
    def is_foreign(self) -> bool:
        """Whether what is there is somebody's own work, or a link to it."""
        if self.path.is_symlink():
            return True
        try:
            return not self.path.read_text(encoding="utf-8").startswith(self.mark)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True

    @property
    def is_ours(self) -> bool:
        """Whether what is there is what `install` would write."""
        try:
            return self.path.read_text(encoding="utf-8") == self.text
        except (OSError, ValueError):
            return False


def of_this_system(
    environ: Mapping[str, str] = os.environ,
    *,
    platform: str = sys.platform,
    command: Sequence[str] = COMMAND,
) -> Service:
    """What starting at login takes here. Raises ServiceError where there is no known way."""
    try:
        home = Path(environ.get("HOME") or Path.home())
    except RuntimeError:
        raise ServiceError("HOME: it is not set, and the system knows no home; set it") from None
    passed_on = {name: environ[name] for name in PASSED_ON if environ.get(name)}
    if platform == "darwin":
        path = home / "Library/LaunchAgents" / f"{AGENT}.plist"
        # launchd looks into that folder at login: there is nothing to switch on.
        domain = f"gui/{os.getuid()}/{AGENT}"
        return Service(
            path=path,
            text=(text := _agent(command, passed_on)),
            mark=text[: text.index(AGENT)],
            before_removing=[("launchctl", "bootout", domain)],
        )
    if platform == "linux":
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        reload = ("systemctl", "--user", "daemon-reload")
        return Service(
            path=config / "systemd/user" / UNIT,
            text=(text := _unit(command, passed_on)),
            mark=text[: text.index("\n")],
            after_writing=[reload, ("systemctl", "--user", "enable", UNIT)],
            before_removing=[("systemctl", "--user", "disable", "--now", UNIT)],
            after_removing=[reload],
        )
    raise ServiceError(f"{platform} has no login service known here; `afterword start` starts it")


def plan(service: Service, *, installing: bool) -> Iterator[str]:
    """What `install` or `remove` would do, line by line. Raises ServiceError."""
    _require_own(service)
    if installing:
        yield f"would write {service.path}:\n\n{service.text}"
        yield from (f"would run: {' '.join(command)}" for command in service.after_writing)
        return
    if not service.is_installed:
        yield "nothing to delete"
        return
    yield from (f"would run: {' '.join(command)}" for command in service.before_removing)
    yield f"would delete {service.path}"
    yield from (f"would run: {' '.join(command)}" for command in service.after_removing)


def install(service: Service) -> bool:
    """Write the file and switch it on; False if it was there already.

    If that fails, all is as it was. The caller sees to it that one process at a time is at work.
    Raises StateError or ServiceError.
    """
    _require_own(service)
    is_new = not service.is_ours
    before = service.path.read_bytes() if service.is_installed else None
    durable.replace(service.path, service.text.encode())
    for command in service.after_writing:
        if problem := _try(command):
            if before is None:
                remove(service)
            else:
                durable.replace(service.path, before)
            raise ServiceError(
                f"{service.path}: it cannot be switched on, so nothing was written ({problem}); "
                "from within your login session: afterword install login"
            )
    return is_new


def remove(service: Service) -> bool:
    """Switch it off and delete the file; False if there was none.

    Raises StateError or ServiceError.
    """
    _require_own(service)
    if not service.is_installed:
        return False
    for command in service.before_removing:
        _try(command)  # it may never have been switched on
    durable.retire(service.path)
    for command in service.after_removing:
        _try(command)
    return True


def _require_own(service: Service) -> None:
    if not service.is_foreign:
        return
    try:
        service.path.open("rb").close()
    except PermissionError:
        raise ServiceError(f"{service.path}: permission denied; change its owner or mode") from None
    except OSError:
        pass
    raise ServiceError(
        f"{service.path}: `afterword install login` did not write this; move it away first"
    )


def _try(command: Sequence[str]) -> str:
    """Run a command of the system; what it complained of, "" if it worked."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    if result.returncode == 0:
        return ""
    lines = result.stderr.strip().splitlines()
    return lines[0] if lines else f"exit code {result.returncode}"


# -- systemd -----------------------------------------------------------------------------------

UNIT = "afterword.service"
BUSY = 75  # exit code of `afterword run` where another daemon serves already (EX_TEMPFAIL)

# Each line holds in a unit of the user's own, without any privilege. Left out, because there they
# do nothing: IPAddressDeny, and ProtectHome and ProtectSystem without a user namespace. Left out,
# because it breaks what compiles code: MemoryDenyWriteExecute. Left out, because answers would
# wait behind a compiler: background.slice and idle disk access; what learns lowers itself.
_UNIT = """\
# Written by `afterword install login`; `afterword uninstall login` removes it.
[Unit]
Description=Afterword, text completion from your own writing
StartLimitIntervalSec=300
StartLimitBurst=3

[Service]
ExecStart={command}
{environment}Restart=on-failure
RestartSec=5
# 75: an editor was quicker and started one.
SuccessExitStatus={busy}
TimeoutStopSec=5

# No network: sockets of this machine's own kind and no other.
RestrictAddressFamilies=AF_UNIX
# Nothing it writes is for others, nothing it starts gains rights.
UMask=0077
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
LimitCORE=0
# The daemon takes a tenth of a gigabyte; the rest is for learning, in a process that it starts.
MemoryHigh=1500M
MemoryMax=2G
TasksMax=256
OOMScoreAdjust=200

[Install]
WantedBy=default.target
"""


def _unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    return _UNIT.format(
        command=" ".join(map(_quoted, command)),
        environment="".join(
            f"Environment={_quoted(f'{name}={value}', dollars=False)}\n"
            for name, value in environment.items()
        ),
        busy=BUSY,
    )


def _quoted(word: str, *, dollars: bool = True) -> str:
    """A word as systemd reads it back: quotes, specifiers and (in commands) variables escaped."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t")
    if dollars:
        escaped = escaped.replace("$", "$$")
    plain = all(c.isalnum() or c in "/._-=:+,@" for c in escaped)
    return escaped if plain and escaped else f'"{escaped}"'


# -- launchd -----------------------------------------------------------------------------------

AGENT = "afterword.daemon"


def _agent(command: Sequence[str], environment: Mapping[str, str]) -> str:
    agent = {
        "Label": AGENT,
        "ProgramArguments": [*command],
        "RunAtLoad": True,
        "KeepAlive": {"Crashed": True},  # and not when it was stopped, or was not needed
        "ThrottleInterval": 10,
        "ProcessType": "Interactive",  # else its processor and disk are throttled, and keys wait
        "Umask": 0o077,
        "HardResourceLimits": {"Core": 0},
    }
    if environment:
        agent["EnvironmentVariables"] = dict(environment)
    return plistlib.dumps(agent, sort_keys=False).decode()
