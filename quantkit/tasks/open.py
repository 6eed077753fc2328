"""Open an artifact as what its metadata say that it is."""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import graph_roles, read_info
from quantkit.runtime.speech_model import SpeechModel
from quantkit.tasks.catalogue import task_of
from quantkit.text.decoding import Decoding


def open_speech_model(
    path: Path,
    threads: int = 1,
    *,
    check: bool = True,
    decoding: Decoding | None = None,
) -> SpeechModel:
    """The artifact at ``path``, ready to run.

    Args:
        threads: inside one operator; 0 takes all cores.
        check: compare it with its checksum first; see :func:`~quantkit.graph.artifact.read_info`.
        decoding: how outputs become text.

    Raises:
        ModelError: the file is damaged, does not load, or is no artifact of a known task.
    """
    info = read_info(path, check=check)
    try:
        task = task_of(info)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    roles = tuple(role.role for role in graph_roles(path))
    if not task.has_roles(roles):
        raise ModelError(
            f"{path} has the graphs {', '.join(roles)}, and a {task.name} model is made of "
            f"{', '.join(task.roles)}; make it anew with `quantkit export`"
        )
    return task.open(path, threads, check=False, decoding=decoding)


def require_followed(path: Path, decoding: Decoding) -> None:
    """Refuse settings that the artifact at ``path`` has no use for.

    Raises:
        InputError: which.
        ModelError: the file is damaged, or no artifact of a known task.
    """
    task = task_of(read_info(path, check=False))
    if task.follows is not None and (vain := ", ".join(decoding.beyond(task.follows))):
        raise InputError(f"{path} is a {task.name} model, which has no use for {vain}")
