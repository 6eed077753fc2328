"""What is known of users whose jobs are going on, and who is tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quantkit.fleets.jobs import JobOutcome, failed
from quantkit.fleets.users import FleetUser


class Attempts:
    """A queue of users, and for each which budgets are answered.

    Args:
        retries: see :class:`~quantkit.fleets.engine.FleetLimits`.
    """

    def __init__(self, users: Sequence[FleetUser], budgets: Sequence[int], retries: int) -> None:
        self._waiting = deque(users)
        self._budgets, self._retries = tuple(budgets), retries
        self._begun: dict[str, int] = {}
        self._answered: dict[str, set[int]] = {}

    @property
    def waiting(self) -> bool:
        """Whether :meth:`next` has somebody."""
        return bool(self._waiting)

    def next(self) -> FleetUser:
        """Whose jobs are to be begun."""
        user = self._waiting.popleft()
        self._begun[user.name] = self._begun.get(user.name, 0) + 1
        return user

    def answer(self, outcome: JobOutcome) -> Iterator[JobOutcome]:
        """``outcome`` with its attempts, unless an earlier attempt has answered this budget."""
        answered = self._answered.setdefault(outcome.user, set())
        if outcome.budget_bytes not in answered:
            answered.add(outcome.budget_bytes)
            yield replace(outcome, attempts=self._begun.get(outcome.user, 1))

    def died(self, user: FleetUser, reason: str) -> str:
        """Put the user to the queue again, if there is an attempt left.

        Returns:
            what to say of it; empty where all attempts are used, see :meth:`give_up`.
        """
        begun = self._begun[user.name]
        if begun > self._retries:
            return ""
        self._waiting.append(user)
        return f"user {user.name}: {reason}; trying again ({begun} of {self._retries})"

    def give_up(self, user: FleetUser, reason: str) -> Iterator[JobOutcome]:
        """Budgets that no attempt has answered, as failed."""
        begun = self._begun[user.name]
        times = f", in each of {begun} attempts" if begun > 1 else ""
        for budget in self._budgets:
            yield from self.answer(failed(user, budget, f"{reason}{times}"))

    def close(self, user: FleetUser) -> Iterator[JobOutcome]:
        """Say of budgets that nothing was said of that this is an error of quantkit's."""
        for budget in self._budgets:
            yield from self.answer(failed(user, budget, "internal error: no answer"))
        self._answered.pop(user.name, None)
