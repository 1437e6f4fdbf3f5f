"""A day on which the disk is full, told in JSON: run by `test_full_disk` in mounts of its own.

Takes the folder of a home with a base model in it, puts a small disk in its place and lives there.
"""

import json
import subprocess
import sys
from pathlib import Path

from daemons import clear_up, connect, eventually, paths_in
from household import BRIDGE, RIVER, afterword, knows, quick, soon_knows, text_of, watch


def live(home: Path, base: Path) -> dict[str, object]:
    """What was seen of it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", home], check=True)
    (home / "base").symlink_to(base)
    paths, notes, filling = paths_in(home), home / "notes", home / "filling"
    notes.mkdir()
    (notes / "river.md").write_text(text_of(RIVER))
    (notes / "bridge.md").write_text("\n" * 8192)  # its place on disk is taken
    watch(paths, notes)
    commands = quick(lookout__REFUSED_S=0.2, keeping__AGAIN_S=0.2)
    try:
        with connect(paths, *commands) as connection:
            assert soon_knows(connection, RIVER)
            with filling.open("wb", buffering=0) as file:
                while eventually(lambda: _takes(file), 0.0):
                    pass
            with (notes / "bridge.md").open("r+") as file:
                file.write(text_of(BRIDGE))
            assert eventually(lambda: "disk is full" in connection.status().detail)
            full = connection.status()
            assert knows(connection, RIVER)
            paused = afterword(paths, "pause")
            is_paused = connection.status().state == "paused"
            resumed = afterword(paths, "resume")
            shown = afterword(paths, "status").stdout
            asked = afterword(paths, "doctor", "disk", "daemon").stdout
            filling.unlink()
            assert soon_knows(connection, BRIDGE)
            assert eventually(lambda: connection.status().detail == "")
            return {
                "detail": full.detail,
                "state": full.state,
                "pause": [paused.returncode, is_paused, resumed.returncode],
                "status": shown,
                "doctor": asked,
                "state after": connection.status().state,
                "log": (paths.logs / "daemon.log").read_text(),
            }
    finally:
        clear_up(paths)


def _takes(file: object) -> bool:
    try:
        return bool(file.write(b"x" * 4096))  # type: ignore[attr-defined]
    except OSError:
        return False


if __name__ == "__main__":
    print(json.dumps(live(Path(sys.argv[1]), Path(sys.argv[2]))))
