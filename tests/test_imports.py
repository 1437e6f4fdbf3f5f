"""The direction of imports, and who may know TensorFlow. ARCHITECTURE.md draws the same arrows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "afterword_trainer": ROOT / "trainer/afterword_trainer",
    "afterword_daemon": ROOT / "daemon/afterword_daemon",
    "afterword_lsp": ROOT / "lsp/afterword_lsp",
}
MODULES = [path for folder in PACKAGES.values() for path in sorted(folder.rglob("*.py"))]

# What a room may import of Afterword, by the beginning of the importing module's name; the
# longest one that fits holds.
MAY_IMPORT = {
    "afterword_trainer": ("afterword_trainer",),
    "afterword_trainer.model": ("afterword_trainer.model",),
    "afterword_daemon": (
        "afterword_daemon",
        "afterword_trainer.corpus",
        "afterword_trainer.discreet",
        "afterword_trainer.durable",
        "afterword_trainer.finding",
        "afterword_trainer.forget",
        "afterword_trainer.forgotten",
        "afterword_trainer.ledger",
        "afterword_trainer.model",
        "afterword_trainer.paths",
        "afterword_trainer.registry",
        "afterword_trainer.remembering",
        "afterword_trainer.secrets",
        "afterword_trainer.shelf",
        "afterword_trainer.skips",
        "afterword_trainer.terminal",
        "afterword_trainer.view",
    ),
    "afterword_lsp": (
        "afterword_daemon.client",
        "afterword_daemon.discreet",
        "afterword_daemon.link",
        "afterword_daemon.protocol",
        "afterword_daemon.starting",
        "afterword_lsp",
        "afterword_trainer.paths",
        "afterword_trainer.secrets",
    ),
}
# These import keras or tensorflow themselves, and these import those: at the top, no one else.
KERAS = {"dynamic", "export", "network", "portable", "training", "workers"}
NEAR_KERAS = {*KERAS, "checkpoint"}
HEAVY = ("tensorflow", "keras")
NETWORK = {
    *("aiohttp", "ftplib", "http", "httpx", "requests", "smtplib", "socket", "socketserver"),
    *("ssl", "telnetlib", "urllib", "urllib3", "xmlrpc"),
}
BEYOND_THE_MACHINE = {  # of the event loop, and of the socket module
    *("create_connection", "create_datagram_endpoint", "create_server", "getaddrinfo"),
    *("open_connection", "sock_connect", "start_server"),
}


def name_of(path: Path) -> str:
    """The dotted name of a module of ours."""
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; at its top only, or anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    """editors -> lsp -> daemon -> trainer, and the model knows nothing of the rest."""
    name = name_of(path)
    room = max((r for r in MAY_IMPORT if f"{name}.".startswith(f"{r}.")), key=len)
    for imported in imports(path):
        if imported.startswith("afterword_"):
            allowed = any(f"{imported}.".startswith(f"{a}.") for a in MAY_IMPORT[room])
            assert allowed or imported == "afterword_trainer.model", f"{name} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_keras_stays_at_arms_length(path: Path) -> None:
    """Six modules know TensorFlow or Keras; others import those where they are needed."""
    name = name_of(path)
    module = name.rpartition(".")[2]
    for imported in imports(path):
        if imported.split(".")[0] in HEAVY:
            assert module in KERAS, f"{name} imports {imported}"
    for imported in imports(path, top_level=True):
        if imported.startswith("afterword_trainer."):
            parts = imported.split(".")
            assert module in NEAR_KERAS or not NEAR_KERAS & set(parts), f"{name}: {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_of_ours_can_open_a_network_connection(path: Path) -> None:
    """No module imports what connections are made with, but the one that makes local sockets."""
    name = name_of(path)
    for imported in imports(path):
        allowed = name == "afterword_daemon.endpoint" and imported == "socket"
        allowed |= imported.startswith("urllib.parse.")  # which takes names apart, and no more
        assert allowed or imported.split(".")[0] not in NETWORK, f"{name} imports {imported}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        used = node.attr if isinstance(node, ast.Attribute) else ""
        assert used not in BEYOND_THE_MACHINE, f"{name} uses {used}"
        assert not used.startswith("AF_") or used == "AF_UNIX", f"{name} uses {used}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("socket.socket", "Socket"):
            family = ast.unparse(node.args[0]) if node.args else "none"
            assert family == "socket.AF_UNIX", f"{name} makes a socket of family {family}"


def run_without(blocked: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` where importing any of `blocked` fails, as if it were not installed."""
    guard = (
        "import sys\n"
        f"blocked = set({blocked!r}.split())\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", guard + code], capture_output=True, text=True, check=False
    )


def test_all_but_training_runs_where_tensorflow_is_absent() -> None:
    """What daemon and language server import, and every verb that does not train."""
    light = [name_of(p) for p in MODULES if name_of(p).rpartition(".")[2] not in NEAR_KERAS]
    result = run_without("tensorflow keras", "".join(f"import {name}\n" for name in light))
    assert (result.returncode, result.stderr) == (0, "")


def test_the_language_server_loads_neither_model_nor_numpy() -> None:
    """One runs for each editor window; the model is in memory once, in the daemon."""
    heavy = "numpy rich jinja2 pathspec tensorflow keras ai_edge_litert charset_normalizer"
    code = (
        "import afterword_lsp.__main__, afterword_lsp.server\n"
        "assert not [name for name in sys.modules if name.startswith('afterword_trainer.model')]\n"
    )
    result = run_without(heavy, code)
    assert (result.returncode, result.stderr) == (0, "")


def test_help_imports_nothing_heavy() -> None:
    """`trainer --help` answers at once: argparse and no more."""
    code = "from afterword_trainer import cli\nassert cli.main([]) == 0\n"
    result = run_without("numpy rich jinja2 pathspec tensorflow keras ai_edge_litert", code)
    assert (result.returncode, result.stderr) == (0, "")
    assert "trainer learn ~/notes" in result.stdout
