"""Which file systems do not tell of every change: read from Linux's table of mounts."""

from pathlib import Path

import pytest
from afterword_daemon.watching import places
from afterword_daemon.watching.places import shared

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /mnt/nas rw,relatime shared:2 master:3 - nfs4 server:/export rw
24 22 0:21 / /mnt/with\040a\040blank rw - cifs //server/share rw
25 22 0:22 / /mnt/phone rw - fuse.sshfs phone: rw
26 22 0:23 / /mnt/windows rw - fuseblk /dev/sdb1 rw
27 23 8:2 / /mnt/nas/disk rw - xfs /dev/sdc1 rw
28 22 0:24 / /mnt/over rw - ext4 /dev/sdd1 rw
29 22 0:25 / /mnt/over rw - 9p host rw
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/someone", None),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/letters/old", "nfs4"),
        ("/mnt/nas/disk/letters", None),
        ("/mnt/nasty", None),
        ("/mnt/with a blank/a", "cifs"),
        ("/mnt/phone", "fuse.sshfs"),
        ("/mnt/windows/notes", None),
        ("/mnt/over/notes", "9p"),
    ],
)
def test_by_the_innermost_mount(folder: str, kind: str | None, tmp_path: Path) -> None:
    """The last of those that lie on each other."""
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert kind == shared(folder, str(table))


@pytest.mark.parametrize("table", [None, "", "no table\n", "1 2 3 4 5 6"])
def test_without_a_table_every_place_is_a_disk(table: str | None, tmp_path: Path) -> None:
    """As elsewhere than on Linux."""
    path = tmp_path / "mountinfo"
    if table is not None:
        path.write_text(table)
    assert shared("/home", str(path)) is None


def test_a_way_leads_through_folders_and_links(tmp_path: Path) -> None:
    """Relative, absolute and up again; what is not there is as it would be; a circle has an end."""
    top = str(tmp_path)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").symlink_to("a/b")
    (tmp_path / "a/b/up").symlink_to("../../a")
    (tmp_path / "d").symlink_to(tmp_path / "c")
    (tmp_path / "round").symlink_to("round")

    def beyond(path: str) -> dict[str, set[str]]:
        found = places.way(f"{top}/{path}")
        return {folder[len(top) :]: {*some} for folder, some in found.items() if top in folder}

    assert beyond("a/b") == {"": {"a"}, "/a": {"b"}}
    assert beyond("c/new/x") == {"": {"c", "a"}, "/a": {"b"}, "/a/b": {"new"}, "/a/b/new": {"x"}}
    assert beyond("d/up/b") == {"": {"d", "c", "a"}, "/a": {"b"}, "/a/b": {"up"}}
    assert beyond("round/x") == {"": {"round"}}
    assert places.way("/") == {}
    assert places.way(f"{top}/d")["/"] == {tmp_path.parts[1]}
