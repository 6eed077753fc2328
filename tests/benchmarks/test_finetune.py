"""What the table of finetuning says of a file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.finetune import (
    FORMS,
    RATES,
    SCHEDULED,
    STRUCTURES,
    Made,
    report,
    scheduled_forms,
    structured_forms,
)
from benchmarks.shipped_model import Score
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.accuracy import Accuracy
from quantkit.codecs.catalogue import CodecChoice
from quantkit.finetuning.settings import FinetuneSettings


def test_every_form_is_a_codec_of_about_its_bits() -> None:
    for bits, codec in FORMS.items():
        assert CodecChoice.parse(codec).bits == float(bits)


def test_schedules_are_compared_on_codecs_of_about_their_bits() -> None:
    for bits, (codec, _) in SCHEDULED.items():
        choice = CodecChoice.parse(codec)
        assert choice.bits == int(float(bits))
    (form,) = scheduled_forms(["1"]).values()
    trials = form.trials
    assert form.codec == "binary"
    assert [trial.schedule for trial in trials] == [
        *("together", "binary-connect", "stochastic", "binary-connect")
    ]
    assert [trial.transcripts for trial in trials] == [False, False, False, True]
    # Each run has a folder of its own, to be resumed from.
    assert len({trial.folder for trial in trials}) == 4


def test_every_form_has_a_learning_rate_that_falls_with_the_distance_of_its_levels() -> None:
    assert set(RATES) == {*FORMS, *SCHEDULED, *STRUCTURES}
    rates = [RATES[bits] for bits in sorted({*FORMS, *SCHEDULED}, key=float)]
    assert rates == sorted(rates, reverse=True)


def test_structures_are_split_or_pruned() -> None:
    for name, form in structured_forms([*STRUCTURES]).items():
        settings = form.settings
        assert settings.ranks or settings.codec.name == "sparse"
        assert settings.codec.bits == float(name.partition(",")[0])
        assert [trial.transcripts for trial in form.trials] == [False, True]


def test_a_row_says_how_many_edits_more_there_are_than_in_float32(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "some.onnx"
    path.write_bytes(b"")
    monkeypatch.setattr("benchmarks.finetune.SOURCE", path)
    monkeypatch.setattr("benchmarks.finetune.total_size", lambda path: 1_160_000)
    accuracy = Accuracy(cer=0.4, cer_ci=(0.3, 0.5))
    scores = [
        Score("float32", accuracy, 0.0, (0.0, 0.0)),
        Score("ternary", accuracy, 0.064, (0.038, 0.091)),
    ]
    audio = Corpus("c", (Utterance(Path("a.wav"), "a", seconds=1800.0),))
    made = [Made("1.6", "taught", path)]
    settings = FinetuneSettings(steps=9)
    said = report(made, scores, settings, audio, 40, calibrated=12, rates={"1.6": 0.005})
    assert "weights\nof one codec (1.6: `ternary`)" in said
    assert "at learning rates of 0.005 (1.6)" in said
    assert "1 clips\n(0.5 h)" in said
    assert "or 9 steps" in said
    assert "| 1.6 | taught | 1.16 | 40.0% [30.0%, 50.0%] | +6.4% [+3.8%, +9.1%] |" in said
