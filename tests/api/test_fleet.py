"""``quantkit.fleet``: what it takes, and what it refuses before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import quantkit
from quantkit.api.fleet import fleet_jobs
from quantkit.errors import InputError, ModelError
from tests.api.small import write_corpus
from tests.fleets.small import ENOUGH, LARGER, SETTINGS, write_model, write_users


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_model(tmp_path)
    write_users(tmp_path, ["ann", "ben"])
    return tmp_path


@pytest.mark.slow
def test_speakers_of_a_corpus_get_a_file_each(place: Path) -> None:
    corpus = write_corpus(place / "corpus", {"calibration": 2})
    rows = (corpus / "manifest.tsv").read_text().splitlines()
    named = [f"{rows[0]}\tspeaker", f"{rows[1]}\tann", f"{rows[2]}\tben"]
    (corpus / "manifest.tsv").write_text("\n".join(named))
    model = place / "float32.onnx"
    wanted = quantkit.FleetRequest(
        corpus, model, [ENOUGH], place / "out", by="speaker", settings=SETTINGS
    )
    made = quantkit.fleet(wanted)
    assert made.is_complete
    assert {row.user: row.status for row in made.rows} == {"ann": "made", "ben": "made"}
    assert len({row.file for row in made.rows}) == 2
    for row in made.rows:
        assert quantkit.inspect(place / "out" / row.file) is not None
    jobs = fleet_jobs(replace(wanted, budgets=[ENOUGH, LARGER]))
    assert [(user, what.split()[0]) for user, _, what in jobs] == [
        ("ann", "keep"),
        ("ann", "make"),
        ("ben", "keep"),
        ("ben", "make"),
    ]


def refused(place: Path, kind: type[Exception], match: str, **changed: object) -> None:
    asked: dict[str, object] = {
        "users": place / "users.tsv",
        "model": place / "float32.onnx",
        "budgets": ["30kB"],
        "output": place / "out",
        "settings": SETTINGS,
        **changed,
    }
    with pytest.raises(kind, match=match):
        quantkit.fleet(quantkit.FleetRequest(**asked))  # type: ignore[arg-type]
    assert not (place / "out").exists()


def test_bad_input_is_refused_and_nothing_is_made(place: Path) -> None:
    refused(place, InputError, "a list of sizes", budgets="30kB")
    refused(place, InputError, "a list of sizes", budgets=[])
    refused(place, InputError, "not a size", budgets=["much"])
    refused(place, InputError, "are the same", budgets=["30kB", 30_000])
    with pytest.raises(InputError, match="divergence must be 0 or more"):
        quantkit.Tolerances(divergence=-1.0)
    refused(place, InputError, "no user cem", only=["cem"])
    refused(place, InputError, "users are by", by="hair")
    refused(place, InputError, "cannot read", users=place / "none.tsv")
    refused(place, InputError, "latency", settings=replace(SETTINGS, max_latency="3ms"))
    (place / "bad.onnx").write_bytes(b"no model")
    refused(place, ModelError, "bad.onnx", model=place / "bad.onnx")
