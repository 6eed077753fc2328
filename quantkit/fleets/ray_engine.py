"""Jobs on the machines of a Ray cluster.

Every machine needs quantkit and must reach audio and results under the same names: URLs, or folders
that all share. The model itself is handed around by Ray.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from quantkit.disk.temporary import TemporaryFolder, remove_all_of_this_process
from quantkit.errors import MissingDependencyError, OutputError, QuantkitError
from quantkit.fleets.attempts import Attempts
from quantkit.fleets.content import digest_of_json
from quantkit.fleets.engine import FleetLimits, Notify
from quantkit.fleets.jobs import JobOutcome
from quantkit.fleets.storage.places import is_url
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import FleetSetup, UserWork
from quantkit.graph.artifact import model_files
from quantkit.runtime.parallel import at_most_cores

_LOOK_SECONDS = 0.1
_WAIT_SECONDS = 1.0


class RayEngine:
    """Users as tasks of a Ray cluster.

    A task whose process or machine dies is begun elsewhere, as often as the limits say. Ray places
    tasks by cores, and by ``memory_bytes`` where there is a limit; a worker that holds more ends
    itself.

    Args:
        limits: ``workers`` are tasks at a time; None: as many as the cluster has cores for.
        address: of the cluster, such as ``auto`` or ``ray://head:10001``; None: a new one on this
            machine, which ends with the run.
    """

    name = "ray"

    def __init__(self, limits: FleetLimits, address: str | None = None) -> None:
        self.limits, self.address = limits, address

    def run(
        self, setup: FleetSetup, users: Sequence[FleetUser], notify: Notify
    ) -> Iterator[JobOutcome]:
        """See :class:`~quantkit.fleets.engine.Engine`.

        Raises:
            MissingDependencyError: Ray is not installed.
            OutputError: the cluster cannot be reached.
        """
        ray = _imported()
        own = not ray.is_initialized()
        if own:
            _connect(ray, self.address)
        try:
            yield from self._run(ray, _absolute_setup(setup), users, notify)
        finally:
            if own:
                ray.shutdown()

    def _run(
        self, ray: Any, setup: FleetSetup, users: Sequence[FleetUser], notify: Notify
    ) -> Iterator[JobOutcome]:
        limits = self.limits
        task = ray.remote(num_cpus=setup.threads, memory=limits.memory_bytes, max_retries=0)(_do)
        files = {path.name: path.read_bytes() for path in model_files(setup.model)}
        model = ray.put(files)
        attempts = Attempts(users, setup.budgets, limits.retries)
        going: dict[Any, FleetUser] = {}
        try:
            while attempts.waiting or going:
                room = self._room(ray, setup) - len(going)
                while attempts.waiting and room > 0:
                    user = attempts.next()
                    going[task.remote(setup, model, _absolute(user), limits)] = user
                    room -= 1
                done, _ = ray.wait(list(going), num_returns=1, timeout=_WAIT_SECONDS)
                for reference in done:
                    user = going.pop(reference)
                    yield from _gathered(ray, reference, user, attempts, notify)
        finally:
            for reference in going:
                ray.cancel(reference, force=True)

    def _room(self, ray: Any, setup: FleetSetup) -> int:
        """Tasks at a time; machines come and go."""
        cores = int(ray.cluster_resources().get("CPU", 0))
        return self.limits.workers or max(1, cores // setup.threads)


def _gathered(
    ray: Any, reference: Any, user: FleetUser, attempts: Attempts, notify: Notify
) -> Iterator[JobOutcome]:
    try:
        outcomes = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, QuantkitError):
            raise cause from error
        reason = f"its worker failed, {type(cause or error).__name__}: {cause or error}"
    # A process, a machine or what it held is gone; Ray has an exception for each.
    except ray.exceptions.RayError as error:
        reason = f"its worker was lost ({type(error).__name__})"
    else:
        for outcome in outcomes:
            yield from attempts.answer(outcome)
        yield from attempts.close(user)
        return
    if again := attempts.died(user, reason):
        notify(again)
    else:
        yield from attempts.give_up(user, reason)


@dataclass
class _Opened:
    """What a worker process keeps from one user to the next."""

    key: str
    folder: TemporaryFolder
    work: UserWork


_opened: list[_Opened] = []


def _do(
    setup: FleetSetup, model: Mapping[str, bytes], user: FleetUser, limits: FleetLimits
) -> list[JobOutcome]:
    """All jobs of a user; runs on a machine of the cluster."""
    with at_most_cores(setup.threads), _watched(limits):
        return list(_work(setup, model).outcomes(user))


def _work(setup: FleetSetup, model: Mapping[str, bytes]) -> UserWork:
    sizes = {name: len(content) for name, content in model.items()}
    key = digest_of_json([repr(setup), sizes])
    if not _opened or _opened[0].key != key:
        _opened.clear()
        folder = TemporaryFolder("fleet")
        for name, content in model.items():
            (folder.path / name).write_bytes(content)
        here = replace(setup, model=folder.path / setup.model.name)
        _opened.append(_Opened(key, folder, UserWork(here)))
    return _opened[0].work


class _watched:  # noqa: N801
    """Ends this process where it needs more than it may, while the block lasts."""

    def __init__(self, limits: FleetLimits) -> None:
        self._limits, self._over = limits, threading.Event()

    def __enter__(self) -> None:
        if self._limits.memory_bytes is not None or self._limits.seconds is not None:
            threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        process, begin = psutil.Process(), time.monotonic()
        most, longest = self._limits.memory_bytes, self._limits.seconds
        while not self._over.wait(_LOOK_SECONDS):
            found = process.memory_info()
            held = found.rss - getattr(found, "shared", 0)
            too_much = most is not None and held > most
            if too_much or (longest is not None and time.monotonic() - begin > longest):
                remove_all_of_this_process()
                os._exit(1)


def _imported() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError(
            "the engine ray needs Ray: pip install 'quantkit[fleet]'"
        ) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        # Nothing of a cluster for this machine alone needs to be reached from others.
        quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=address, **quiet)
    # What Ray raises here is not specified.
    except Exception as error:
        where = address or "a cluster on this machine"
        raise OutputError(f"cannot reach {where}: {' '.join(str(error).split())}") from error


def _absolute_setup(setup: FleetSetup) -> FleetSetup:
    return replace(setup, output=_absolute_place(setup.output))


def _absolute(user: FleetUser) -> FleetUser:
    return replace(user, audio=_absolute_place(user.audio))


def _absolute_place(place: str) -> str:
    # Workers have other working folders.
    return place if is_url(place) else str(Path(place).absolute())
