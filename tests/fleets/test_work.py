"""The jobs of one user: listened to once, made once, and a bad one holds up no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.fleets import work as work_module
from quantkit.fleets.jobs import JobOutcome
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import UserWork
from quantkit.personalization.pipeline import personalize
from tests.fleets.small import (
    ENOUGH,
    IMPOSSIBLE,
    LARGER,
    SETTINGS,
    setup_of,
    user,
    write_model,
    write_users,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def work(tmp_path: Path) -> UserWork:
    write_users(tmp_path, ["ann", "ben"])
    return UserWork(setup_of(write_model(tmp_path), tmp_path / "out", IMPOSSIBLE, ENOUGH, LARGER))


def statuses(outcomes: list[JobOutcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_budgets_share_the_listening_and_an_impossible_one_fails_alone(
    work: UserWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listened = []
    listen = work_module.listen
    monkeypatch.setattr(
        work_module, "listen", lambda *a, **k: listened.append(1) or listen(*a, **k)
    )
    first = list(work.outcomes(user(tmp_path, "ann")))
    assert statuses(first) == ["failed", "made", "made"]
    assert "2,000 bytes is impossible" in first[0].reason
    assert len(listened) == 1
    # Only what is missing is tried again, without measuring anything anew.
    assert (tmp_path / "out" / ".work").is_dir()
    again = list(work.outcomes(user(tmp_path, "ann")))
    assert sorted(statuses(again)) == ["failed", "kept", "kept"]
    kept = {o.budget_bytes: o.record for o in again if o.record}
    assert kept == {o.budget_bytes: o.record for o in first if o.record}


def test_an_artifact_is_that_of_personalize_to_the_byte(work: UserWork, tmp_path: Path) -> None:
    outcomes = {o.budget_bytes: o.record for o in work.outcomes(user(tmp_path, "ben"))}
    record = outcomes[ENOUGH]
    assert record is not None
    alone = tmp_path / "alone.onnx"
    clips = open_corpus(tmp_path / "audio" / "ben")
    personalize(tmp_path / "float32.onnx", alone, clips, ENOUGH, SETTINGS)
    assert (tmp_path / "out" / record.files[0].name).read_bytes() == alone.read_bytes()
    assert record.size_bytes <= ENOUGH
    assert record.clips == 2


def test_users_with_the_same_clips_share_their_artifacts(work: UserWork, tmp_path: Path) -> None:
    first = list(work.outcomes(user(tmp_path, "ann")))
    other = FleetUser("ann's other name", str(tmp_path / "audio" / "ann"))
    second = list(work.outcomes(other))
    assert sorted(statuses(second)) == ["failed", "kept", "kept"]
    assert {o.record.job for o in first if o.record} == {o.record.job for o in second if o.record}


@pytest.mark.parametrize("audio", ["missing", "empty", "broken", "a\0b"])
def test_audio_that_cannot_be_used_is_a_reason_for_each_budget(
    work: UserWork, tmp_path: Path, audio: str
) -> None:
    (tmp_path / "audio" / "empty").mkdir()
    (tmp_path / "audio" / "broken").mkdir()
    (tmp_path / "audio" / "broken" / "a.wav").write_bytes(b"RIFF????WAVE")
    outcomes = list(work.outcomes(FleetUser("cem", f"{tmp_path}/audio/{audio}")))
    assert statuses(outcomes) == ["failed"] * 3
    assert all(outcome.reason and "\n" not in outcome.reason for outcome in outcomes)


def test_a_damaged_artifact_is_made_again_and_the_other_kept(
    work: UserWork, tmp_path: Path
) -> None:
    first = {o.budget_bytes: o.record for o in work.outcomes(user(tmp_path, "ann"))}
    record = first[ENOUGH]
    assert record is not None
    path = tmp_path / "out" / record.files[0].name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    again = {o.budget_bytes: o.status for o in work.outcomes(user(tmp_path, "ann"))}
    assert again == {IMPOSSIBLE: "failed", ENOUGH: "made", LARGER: "kept"}
    assert path.read_bytes() == whole
