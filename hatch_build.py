"""Builds what is no Python: the inner loops of the memory, in C; and takes the plug-ins along.

The library uses nothing of Python's own interface, so one build serves every version of Python.
"""

import os
import shutil
import subprocess
import sysconfig
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "trainer/afterword_trainer/model/memory.c"
LIBRARY = (
    "trainer/afterword_trainer/model/memory.clib"  # not .so, which Python would take for a module
)
# What lets a compiler do several numbers at once; -ffast-math itself would switch off denormal
# numbers in the whole process that loads the library.
FAST = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"]
# For `afterword install`, where `afterword_daemon.plugins` looks for them. `make vsix` builds the
# extension; without it there is a wheel all the same.
PLUGINS = (
    "README.md",  # the lines for editors that take no plug-in
    *(f"neovim/{name}" for name in ("plugin", "lsp", "lua", "doc")),
    "vscode/afterword.vsix",
)


class BuildHook(BuildHookInterface):
    """Compiles before the files of a wheel, or of an editable install, are gathered."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises SystemExit with a remedy where there is no C compiler."""
        if self.target_name != "wheel":
            return
        compiler = os.environ.get("CC") or "cc"
        if not shutil.which(compiler.split()[0]):
            raise SystemExit(
                f"Afterword's memory is written in C and there is no C compiler {compiler!r}; "
                "install one (Debian: apt install gcc libc6-dev, macOS: xcode-select --install), "
                "or set CC to the one there is"
            )
        source, library = Path(self.root, SOURCE), Path(self.root, LIBRARY)
        # Beside, then renamed: a process that has the old one mapped must not see it change.
        built = library.with_suffix(".clib.new")
        command = [*compiler.split(), "-std=c99", *FAST, "-fPIC", "-shared", "-o", str(built)]
        # Which source it was, so that memory.py never calls into what an older one left behind.
        told = f"-DSOURCE={zlib.crc32(source.read_bytes())}u"
        subprocess.run([*command, told, str(source), "-lm"], check=True)
        built.replace(library)
        build_data["artifacts"].append(f"/{LIBRARY}")
        if version == "standard":  # an editable installation has them where they are written
            for name in PLUGINS:
                if (plugin := Path(self.root, "editors", name)).exists():
                    build_data["force_include"][str(plugin)] = f"afterword_daemon/editors/{name}"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
