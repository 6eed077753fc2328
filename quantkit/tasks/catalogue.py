"""Every task, by the name that artifacts have it under.

A further task is a subclass of :class:`~quantkit.tasks.base.Task`. A program registers it with
:func:`register`; an installed package names it as an entry point of the group ``quantkit.tasks``::

    [project.entry-points."quantkit.tasks"]
    diarization = "theirs.diarization:DiarizationTask"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from quantkit.errors import InputError, ModelError
from quantkit.plugins import Plugin, PluginGroup
from quantkit.tasks.asg import AsgTask
from quantkit.tasks.base import Task
from quantkit.tasks.canary import CanaryTask
from quantkit.tasks.classification import ClassificationTask
from quantkit.tasks.ctc import CtcTask
from quantkit.tasks.moonshine import MoonshineTask
from quantkit.tasks.streaming_ctc import StreamingCtcTask
from quantkit.tasks.streaming_transducer import StreamingTransducerTask
from quantkit.tasks.transducer import TransducerTask
from quantkit.tasks.whisper import WhisperTask

if TYPE_CHECKING:
    from quantkit.graph.info import ArtifactInfo

# What artifacts without a task are taken for.
_USUAL = CtcTask()

_tasks: dict[str, Task] = {
    task.name: task
    for task in (
        _USUAL,
        ClassificationTask(),
        WhisperTask(),
        TransducerTask(),
        MoonshineTask(),
        CanaryTask(),
        StreamingCtcTask(),
        StreamingTransducerTask(),
        AsgTask(),
    )
}


def _is_task(value: object) -> TypeGuard[Task | type[Task]]:
    return isinstance(value, Task) or (isinstance(value, type) and issubclass(value, Task))


PLUGINS = PluginGroup[Task | type[Task]](
    "quantkit.tasks", "task", "a quantkit.tasks.base.Task", _is_task, tuple(_tasks)
)


def register(task: Task) -> None:
    """Let artifacts be of a further task.

    Raises:
        InputError: there is another one of that name.
    """
    if type(_tasks.setdefault(task.name, task)) is not type(task):
        raise InputError(f"there is a task {task.name!r} already")


def tasks() -> tuple[Task, ...]:
    """All tasks, those of quantkit first."""
    for plugin in PLUGINS.all():
        if plugin.name not in _tasks:
            _add(plugin)
    return tuple(_tasks.values())


def task_named(name: str) -> Task:
    """The task of that name; CTC for an empty one, as foreign models have it.

    >>> task_named("ctc").unit
    'frame'

    Raises:
        InputError: there is none.
    """
    if name and name not in _tasks and (plugin := PLUGINS.find(name)):
        _add(plugin)
    if name and name not in _tasks:
        known = ", ".join(task.name for task in tasks())
        raise InputError(f"there is no task {name!r}; known tasks: {known}")
    return _tasks[name] if name else _USUAL


def task_of(info: ArtifactInfo) -> Task:
    """The task of an artifact.

    Raises:
        ModelError: there is none of the name that its metadata have.
    """
    try:
        return task_named(info.task)
    except InputError as error:
        raise ModelError(
            f"it is a {info.task!r} model; known tasks: {', '.join(_tasks)}. "
            "Install the package that adds it, or make the model anew with `quantkit export`"
        ) from error


def adoptable() -> tuple[str, ...]:
    """Names of the tasks that somebody's ``.onnx`` can become an artifact of."""
    return tuple(task.name for task in tasks() if task.adoption is not None)


def _add(plugin: Plugin[Task | type[Task]]) -> None:
    try:
        task = plugin.value() if isinstance(plugin.value, type) else plugin.value
        if task.name != plugin.name:
            raise InputError(f"it calls itself {task.name!r}")
    # What the code of another package runs into is not specified.
    except Exception as error:
        PLUGINS.report(plugin, error)
    else:
        register(task)
