"""Who is begun again, and that each budget is answered once."""

from __future__ import annotations

from quantkit.fleets.attempts import Attempts
from quantkit.fleets.jobs import JobOutcome
from quantkit.fleets.users import FleetUser

ANN, BEN = FleetUser("ann", "a"), FleetUser("ben", "b")


def test_a_user_whose_worker_died_is_begun_again_after_the_others() -> None:
    attempts = Attempts([ANN, BEN], [1], retries=1)
    assert attempts.next() is ANN
    assert attempts.died(ANN, "killed") == "user ann: killed; trying again (1 of 1)"
    assert attempts.next() is BEN
    assert attempts.next() is ANN
    assert attempts.died(ANN, "killed") == ""
    (outcome,) = attempts.give_up(ANN, "killed")
    assert (outcome.status, outcome.attempts) == ("failed", 2)
    assert outcome.reason == "killed, in each of 2 attempts"
    assert not attempts.waiting


def test_what_an_earlier_attempt_has_made_stays_made() -> None:
    attempts = Attempts([ANN], [1, 2], retries=1)
    attempts.next()
    assert [o.status for o in attempts.answer(JobOutcome("ann", 1, "made"))] == ["made"]
    attempts.died(ANN, "killed")
    attempts.next()
    assert not list(attempts.answer(JobOutcome("ann", 1, "kept")))
    (outcome,) = attempts.answer(JobOutcome("ann", 2, "made"))
    assert (outcome.budget_bytes, outcome.attempts) == (2, 2)
    assert not list(attempts.close(ANN))


def test_a_budget_without_an_answer_is_an_error_of_ours() -> None:
    attempts = Attempts([ANN], [1, 2], retries=0)
    attempts.next()
    list(attempts.answer(JobOutcome("ann", 1, "made")))
    (outcome,) = attempts.close(ANN)
    assert (outcome.budget_bytes, outcome.status) == (2, "failed")
