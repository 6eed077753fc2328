"""A whole bench run over models whose transcripts are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.notes import notes_on
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.schema import BenchReport, Edits
from quantkit.benchmarking.settings import BenchSettings
from quantkit.errors import CorpusError, InputError, ModelError
from quantkit.text.labels import Labels


def test_accuracy_is_that_of_the_transcripts(report: BenchReport) -> None:
    good, bad = report.models
    assert [u.hypothesis for u in good.utterances] == ["ab", "a b ab", "aab", "b", "abba ab aa"]
    assert [u.distance for u in good.utterances] == [0, 0, 1, 2, 0]
    assert good.levenshtein == pytest.approx(3 / 5)
    # 2 + 6 + 2 + 3 + 10 letters; 1 inserted, 2 deleted.
    assert good.cer_edits == Edits(1, 2, 0, 23)
    assert good.cer == pytest.approx(3 / 23)
    # 1 + 3 + 1 + 2 + 3 words: "aa" became "aab", one "b" of "b b" was lost.
    assert good.wer_edits == Edits(0, 1, 1, 10)
    assert [u.hypothesis for u in bad.utterances][:2] == ["ba", "b a ba"]
    assert bad.levenshtein is not None
    assert bad.levenshtein > 3


def test_intervals_hold_the_figures(report: BenchReport) -> None:
    for model in report.models:
        for figure, interval in (
            (model.levenshtein, model.levenshtein_ci),
            (model.cer, model.cer_ci),
            (model.wer, model.wer_ci),
        ):
            assert figure is not None
            assert interval is not None
            assert interval[0] <= figure <= interval[1]


def test_loss_is_per_reference_label(report: BenchReport) -> None:
    good, bad = report.models
    assert good.loss is not None
    assert bad.loss is not None
    losses = [u.loss / u.length for u in good.utterances if u.loss is not None]
    assert good.loss == pytest.approx(sum(losses) / 5)
    assert good.loss < bad.loss


def test_costs_are_measured(report: BenchReport) -> None:
    good, bad = report.models
    assert good.size_bytes == Path(good.path).stat().st_size
    # 50 float32 numbers more, less the four int64 that swap the letters of the bad one.
    assert good.weight_bytes - bad.weight_bytes == 50 * 4 - 4 * 8
    assert good.weight_bytes_per_second == pytest.approx(
        good.weight_bytes * 5 / report.corpus.seconds
    )
    assert good.peak_rss_bytes > good.idle_rss_bytes > 0
    assert good.load_s > 0
    assert good.rtf > 0
    assert good.variant == "1 float32"
    assert [(row.batch_size, row.threads) for row in good.latency_ms] == [(1, 1), (4, 1)]
    assert (good.speedup, good.speedup_ci) == (1.0, (1.0, 1.0))
    assert bad.speedup == bad.latency_ms[0].speedup


def test_a_model_that_writes_nothing_is_noted(report: BenchReport) -> None:
    good, bad = report.models
    mute = replace(bad, utterances=tuple(replace(u, hypothesis="") for u in bad.utterances))
    (note,) = notes_on(report.corpus, (good, mute), replace(report.host, vnni=True), uncovered=0)
    assert note.startswith("bad writes nothing for any of the 5 clips with a transcript")


def test_corpus_and_host_are_described(report: BenchReport) -> None:
    assert (report.corpus.name, report.corpus.utterances, report.corpus.labelled) == (
        "letters",
        5,
        5,
    )
    assert report.corpus.seconds == pytest.approx(
        sum(u.seconds for u in report.models[0].utterances)
    )
    assert report.decoder == "greedy"
    assert report.host.onnxruntime
    assert report.notes == ()


def test_transcripts_do_not_depend_on_the_batch(report: BenchReport) -> None:
    for model in report.models:
        assert [(row.batch_size, row.identical) for row in model.batches] == [(1, 5), (4, 5)]
        assert {row.levenshtein for row in model.batches} == {model.levenshtein}


@pytest.mark.slow
def test_a_model_that_listens_to_its_neighbours_is_shown(
    make_model: Callable[..., Path], spell: Callable[..., Utterance], quick: BenchSettings
) -> None:
    clips = [spell("ab", name="quiet"), spell("ba", name="loud", loudness=9.0)]
    model = make_model("crowded", "crowded")
    found = run_bench([model], Corpus("pair", tuple(clips)), quick).models[0]
    assert [row.identical for row in found.batches] == [2, 1]
    assert [row.levenshtein for row in found.batches] == [0.0, 1.0]


def test_without_transcripts_accuracy_is_left_out(unlabelled: BenchReport) -> None:
    (model,) = unlabelled.models
    assert (model.loss, model.levenshtein, model.cer, model.wer) == (None, None, None, None)
    assert model.utterances == ()
    assert [row.identical for row in model.batches] == [5, 5]
    assert "accuracy is left out" in unlabelled.notes[0]


@pytest.mark.slow
def test_only_labelled_clips_are_scored(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    clips = (replace(corpus.utterances[0], text=None), *corpus.utterances[1:])
    report = run_bench([make_model("good")], Corpus("some", clips), quick)
    assert len(report.models[0].utterances) == 4
    assert "4 of 5 clips have a transcript" in report.notes[0]


@pytest.mark.slow
def test_unusable_clips_are_left_out_and_counted(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    broken = Utterance(None, "a", features=np.full((9, 40), np.nan, np.float32), name="broken")
    mixed = Corpus("mixed", (broken, *corpus.utterances))
    report = run_bench([make_model("good")], mixed, quick)
    assert (report.corpus.utterances, report.corpus.skipped_count) == (5, 1)
    assert "broken" in report.corpus.skipped[0]
    assert "1 clip was left out" in report.notes[0]
    with pytest.raises(CorpusError, match="none of 1 clips is usable"):
        run_bench([make_model("good")], Corpus("void", (broken,)), quick)


@pytest.mark.slow
def test_transcripts_outside_the_alphabet_count_as_errors(
    make_model: Callable[..., Path], spell: Callable[..., Utterance], quick: BenchSettings
) -> None:
    clips = (spell("ab", text="AB!", name="cased"), spell("ab", text="xy", name="foreign"))
    report = run_bench([make_model("good")], Corpus("texts", clips), quick)
    cased, foreign = report.models[0].utterances
    assert (cased.reference, cased.distance) == ("ab", 0)
    assert (foreign.distance, foreign.loss) == (2, None)
    assert "characters that the models cannot write" in report.notes[0]


@pytest.mark.slow
def test_phonemes_are_counted_as_labels(
    make_model: Callable[..., Path], spell: Callable[..., Utterance], quick: BenchSettings
) -> None:
    labels = Labels(("_", "SIL", "AA", "BB"), separator=" ")
    clip = replace(spell("ab"), text="AA BB BB")
    model = make_model("phonemes", labels=labels)
    report = run_bench([model], Corpus("p", (clip,)), quick)
    (result,) = report.models
    assert report.unit == "labels"
    assert result.utterances[0].hypothesis == "AA BB"
    assert (result.levenshtein, result.wer) == (1.0, None)
    assert result.cer == pytest.approx(1 / 3)


@pytest.mark.slow
def test_limit_and_seed_choose_the_same_clips_again(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    model = make_model("good")

    def chosen(seed: int) -> list[str]:
        report = run_bench([model], corpus, replace(quick, limit=2, seed=seed))
        return [u.id for u in report.models[0].utterances]

    assert chosen(1) == chosen(1)
    assert len(chosen(1)) == 2
    assert len({tuple(chosen(seed)) for seed in range(4)}) > 1


@pytest.mark.slow
def test_sweep_can_be_left_out(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    settings = replace(quick, sweep_utterances=0)
    report = run_bench([make_model("good")], corpus, settings)
    assert report.models[0].batches == ()


@pytest.mark.slow
def test_progress_reaches_the_end_of_every_stage(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    seen: dict[str, float] = {}
    run_bench([make_model("good")], corpus, quick, seen.__setitem__)
    assert list(seen) == ["recognising", "batch sizes", "latency", "memory"]
    assert set(seen.values()) == {1.0}


@pytest.mark.slow
def test_other_labels_are_refused(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    other = Labels(("_", " ", "x", "y"))
    models = [make_model("one"), make_model("two", labels=other)]
    with pytest.raises(InputError, match=r"two\.onnx has other labels"):
        run_bench(models, corpus, quick)


def test_what_is_no_recogniser_is_refused(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings, tmp_path: Path
) -> None:
    model = make_model("one")
    with pytest.raises(InputError, match="is given twice"):
        run_bench([model, model], corpus, quick)
    with pytest.raises(InputError, match="at least one model"):
        run_bench([], corpus, quick)
    with pytest.raises(ModelError, match="'classify' model"):
        run_bench([make_model("c", task="classify")], corpus, quick)
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    with pytest.raises(ModelError, match=r"noise\.onnx"):
        run_bench([model, tmp_path / "noise.onnx"], corpus, quick)


@pytest.mark.slow
def test_the_test_split_is_the_default_and_the_report_names_it(
    make_model: Callable[..., Path], corpus: Corpus, quick: BenchSettings
) -> None:
    clips = [replace(u, split="test" if i % 2 else "calibration") for i, u in enumerate(corpus)]
    both = Corpus("both", tuple(clips))
    model = make_model("one")
    usual = run_bench([model], both, quick).corpus
    assert (usual.split, usual.utterances) == ("test", len(clips) // 2)
    named = run_bench([model], both, replace(quick, split="calibration")).corpus
    assert (named.split, named.utterances) == ("calibration", len(clips) - len(clips) // 2)
    everything = run_bench([model], both, replace(quick, split="all")).corpus
    assert (everything.split, everything.utterances) == ("", len(clips))
    with pytest.raises(CorpusError, match="dev"):
        run_bench([model], both, replace(quick, split="dev"))
