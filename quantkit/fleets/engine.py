"""What runs the jobs of users: processes here, or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from quantkit.fleets.jobs import JobOutcome
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import FleetSetup

Notify = Callable[[str], None]


@dataclass(frozen=True)
class FleetLimits:
    """How much a user's jobs may take.

    Args:
        workers: processes side by side; None: one for each core.
        memory_bytes: of one worker; None: no limit.
        seconds: of one user; None: no limit.
        retries: how often a user is begun again after a worker died at it.
    """

    workers: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    retries: int = 2


class Engine(Protocol):
    """Does the jobs of many users.

    One that dies at a user's jobs (killed, out of memory) is replaced, and the user begun again, at
    most ``retries`` times; bad input is not tried again.

    Attributes:
        name: for reports.
    """

    name: str

    def run(
        self, setup: FleetSetup, users: Sequence[FleetUser], notify: Notify
    ) -> Iterator[JobOutcome]:
        """Exactly one outcome for each user and budget, in any order, each as soon as it is known.

        The generator may be closed early; then nothing of it runs on.

        Args:
            notify: is told what went wrong and is tried again.

        Raises:
            QuantkitError: no worker can begin.
        """
