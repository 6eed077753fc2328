"""Models as the Hugging Face hub's cache lays them on the disk.

``models--OWNER--NAME`` has ``refs``, which name commits, and a folder in ``snapshots`` for each
commit, whose files are links into ``blobs``.
"""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError

_PREFIX, _SNAPSHOTS = "models--", "snapshots"
# A commit is named in 40 characters.
_LONGEST_NAME = 100


def snapshot_in(path: Path) -> Path:
    """The newest commit's folder, where ``path`` is that of a model in a cache; else ``path``.

    Raises:
        InputError: there is none, or several and none is said to be the newest.
    """
    snapshots = path / _SNAPSHOTS
    if not path.resolve().name.startswith(_PREFIX) or not snapshots.is_dir():
        return path
    commits = sorted(each for each in snapshots.iterdir() if each.is_dir())
    main = _commit(path / "refs" / "main")
    for each in commits:
        if each.name == main or len(commits) == 1:
            return each
    if not commits:
        raise InputError(f"{path} has no snapshot: the model was not downloaded")
    raise InputError(
        f"{path} has {len(commits)} snapshots, and refs/main names none of them: give the folder "
        f"of one, such as {commits[0]}"
    )


def cached_name(folder: Path) -> str:
    """Name of the model of whose folder in a cache ``folder`` is one; empty for another folder."""
    snapshots = folder.absolute().parent
    name = snapshots.parent.name
    if snapshots.name != _SNAPSHOTS or not name.startswith(_PREFIX):
        return ""
    return name.rpartition("--")[2]


def _commit(ref: Path) -> str:
    try:
        if not ref.is_file():
            return ""
        with ref.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_LONGEST_NAME).strip()
    except OSError:
        return ""
