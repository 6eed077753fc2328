"""A gate on slices, against a baseline or a model of the same run, and its options."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantkit.benchmarking.baseline import Baseline, Tolerance, read_baseline, write_baseline
from quantkit.benchmarking.figures import Figures, figures_of
from quantkit.benchmarking.gate import compare, compare_runs
from quantkit.benchmarking.gate_report import junit_xml, markdown
from quantkit.benchmarking.gate_result import Check, GateResult
from quantkit.benchmarking.held import GateOptions, Held
from quantkit.errors import FormatError, InputError
from quantkit.text.distances import levenshtein

LANGUAGES = ("de", "en", "fr")
CLIPS = [f"clip-{i:03}" for i in range(90)]
LANGUAGE_OF = {clip: LANGUAGES[i % 3] for i, clip in enumerate(CLIPS)}
SAID = {clip: f"number {i} is said here by somebody" for i, clip in enumerate(CLIPS)}


def misheard(
    seed: int, worse: Sequence[str] = (), *, edits: int = 6, share: float = 0.5
) -> dict[str, str]:
    """A text for each clip: some have a letter replaced, and those of ``worse`` several."""
    found = {}
    for clip, text in SAID.items():
        generator = random.Random(f"{seed} {clip}")
        letters = [*text]
        count = int(generator.random() < share) + (edits if clip in worse else 0)
        for place in generator.sample(range(len(letters)), count):
            letters[place] = "#"
        found[clip] = "".join(letters)
    return found


def run(
    models: Mapping[str, Mapping[str, str]], *, labelled: bool = True, **changes: Any
) -> Figures:
    """A bench run; speed and size play no part."""
    document = {
        "schema": "quantkit.bench/1",
        "host": {"cpu": "a CPU", "machine": "x86_64", "vnni": True, "onnxruntime": "1.31.1"},
        "corpus": {"name": "three languages"},
        "decoder": "greedy",
        "unit": "characters",
        "by": ["language"],
        "clips": [
            {
                "clip": clip,
                "named": {"language": LANGUAGE_OF[clip]},
                "measured": {"length": 1.0 + i, "level": -20.0 - i},
            }
            for i, clip in enumerate(CLIPS)
        ],
        "models": [_model(name, texts, labelled) for name, texts in models.items()],
        **changes,
    }
    return figures_of(document, "bench.json")


def _model(name: str, texts: Mapping[str, str], labelled: bool) -> dict[str, Any]:
    scored = [
        {
            "id": clip,
            "reference": SAID[clip],
            "hypothesis": text,
            "distance": levenshtein(SAID[clip], text),
        }
        for clip, text in texts.items()
    ]
    plain = [{"id": clip, "hypothesis": text} for clip, text in texts.items()]
    return {
        "name": name,
        "size_bytes": 1_000,
        "speedup": 1.0,
        "wer": 0.1 if labelled else None,
        "utterances": scored if labelled else [],
        "unlabelled": [] if labelled else plain,
    }


GERMAN = [clip for clip in CLIPS if LANGUAGE_OF[clip] == "de"]
BEFORE = run({"float32": misheard(1), "int8": misheard(2)})
ACCEPTED = Baseline(BEFORE)
SAME = run({"float32": misheard(1), "int8": misheard(3)})
WORSE = run({"float32": misheard(1), "int8": misheard(3, GERMAN[::3])})


def slices(result: GateResult) -> dict[str, Check]:
    return {check.slice: check for check in result.checks if check.slice and check.model == "int8"}


def failed(result: GateResult) -> list[str]:
    return [f"{check.model} {check.name}" for check in result.failures]


def test_a_run_that_was_divided_is_gated_by_its_slices() -> None:
    result = compare(SAME, ACCEPTED)
    assert result.passed
    assert list(slices(result)) == ["language: de", "language: en", "language: fr"]
    assert result.false_alarms == 0.05


def test_damage_to_one_language_is_found_in_its_slice_alone() -> None:
    result = compare(WORSE, ACCEPTED)
    assert failed(result) == ["int8 levenshtein", "int8 levenshtein [language: de]"]
    found = slices(result)["language: de"]
    assert "on 30 clips" in found.detail
    assert "corrected for all slices" in found.detail
    assert found.current > found.limit > found.baseline


def test_damage_that_is_lost_among_all_clips_is_found_in_a_slice() -> None:
    few = run({"float32": misheard(1), "int8": misheard(2, GERMAN[::2], edits=2)})
    lenient = GateOptions(
        tolerances={"levenshtein": Tolerance(1.0)}, slice_tolerances={"*": Tolerance(0.1)}
    )
    assert failed(compare(few, ACCEPTED, lenient)) == ["int8 levenshtein [language: de]"]


def test_a_slice_has_its_own_tolerance() -> None:
    options = GateOptions(slice_tolerances={"language:de": Tolerance(20.0)})
    assert failed(compare(WORSE, ACCEPTED, options)) == ["int8 levenshtein"]
    options = GateOptions(slice_tolerances={"*": Tolerance(20.0), "language": Tolerance(0.0)})
    assert "int8 levenshtein [language: de]" in failed(compare(WORSE, ACCEPTED, options))


def test_tolerances_of_slices_are_kept_in_the_baseline(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    tolerances = {"language:de": Tolerance(20.0), "*": Tolerance(0.1, 0.2)}
    write_baseline(replace(ACCEPTED, slice_tolerances=tolerances), path)
    read = read_baseline(path)
    assert read.slice_tolerances == tolerances
    assert read.renewed(SAME).slice_tolerances == tolerances
    assert failed(compare(WORSE, read)) == ["int8 levenshtein"]


def test_a_tolerance_for_no_slice_is_refused() -> None:
    with pytest.raises(InputError, match="no slice is called 'language:it'"):
        compare(SAME, ACCEPTED, GateOptions(slice_tolerances={"language:it": Tolerance(0.1)}))
    options = GateOptions(by=(), slice_tolerances={"language": Tolerance(0.1)})
    with pytest.raises(InputError, match="name some with --by"):
        compare(SAME, ACCEPTED, options)


def test_clips_may_be_divided_otherwise_than_in_the_run() -> None:
    found = slices(compare(WORSE, ACCEPTED, GateOptions(by=("length:5/60",))))
    assert list(found) == ["length: below 5 s", "length: 5 to 60 s", "length: from 60 s"]
    assert found["length: below 5 s"].verdict == "skipped"
    assert found["length: below 5 s"].detail == "4 clips are too few to tell; 8 are needed"
    with pytest.raises(InputError, match="no clip of 'three languages' has the property 'dialect'"):
        compare(WORSE, ACCEPTED, GateOptions(by=("dialect",)))
    assert not slices(compare(WORSE, ACCEPTED, GateOptions(by=())))


def test_first_words_are_a_slice_of_words() -> None:
    cut = {clip: text.partition(" ")[2] for clip, text in misheard(2, share=0.0).items()}
    now = run({"float32": misheard(1), "int8": cut | {c: SAID[c] for c in CLIPS[::2]}})
    before = Baseline(run({"float32": misheard(1), "int8": misheard(2, share=0.0)}))
    options = GateOptions(by=("words",), criteria=("wer",))
    result = compare(now, before, options)
    assert failed(result) == ["int8 wer", "int8 wer [words: first]"]
    assert slices(result)["words: first"].current == pytest.approx(0.5)


def test_a_baseline_of_before_knows_no_words() -> None:
    models = tuple(replace(model, texts={}) for model in BEFORE.models)
    old = Baseline(replace(BEFORE, models=models))
    found = slices(compare(SAME, old, GateOptions(by=("words", "language"))))
    assert found["words: first"].verdict == "skipped"
    assert "renew it with --update" in found["words: first"].detail
    assert found["language: de"].verdict == "passed"


class TestAgainstAModelOfTheSameRun:
    def test_others_are_held_to_it(self) -> None:
        result = compare_runs([Held.against(WORSE, "float32")])
        assert failed(result) == ["int8 levenshtein", "int8 levenshtein [language: de]"]
        assert {check.model for check in result.checks} == {"int8"}
        assert "| model | criterion | float32 | now |" in markdown(result)

    def test_an_unknown_one_is_refused_and_so_is_one_alone(self) -> None:
        with pytest.raises(InputError, match="--against takes one of float32, int8"):
            Held.against(SAME, "int4")
        with pytest.raises(InputError, match="no model but 'float32'"):
            Held.against(run({"float32": misheard(1)}), "float32")

    def test_without_transcripts_changed_words_count(self) -> None:
        now = run({"float32": misheard(1), "int8": misheard(1, GERMAN)}, labelled=False)
        result = compare_runs([Held.against(now, "float32")])
        found = {(check.criterion, check.slice): check for check in result.checks}
        assert found["changed", ""].verdict == "failed"
        assert found["changed", "language: de"].verdict == "failed"
        assert found["changed", "language: en"].verdict == "passed"
        assert found["divergence", ""].verdict == "skipped"
        same = run({"float32": misheard(1), "int8": misheard(1)}, labelled=False)
        assert compare_runs([Held.against(same, "float32")]).passed


class TestSeveralCorpora:
    def test_all_are_checked_and_named(self) -> None:
        other = run(
            {"float32": misheard(1), "int8": misheard(3)}, corpus={"name": "a second corpus"}
        )
        result = compare_runs([Held.against(WORSE, "float32"), Held.against(other, "float32")])
        assert result.corpus == "three languages, a second corpus"
        assert result.utterances == 180
        assert failed(result) == [
            "int8 levenshtein three languages",
            "int8 levenshtein [language: de] three languages",
        ]
        names = junit_xml(result).decode()
        assert 'name="levenshtein [language: de] a second corpus"' in names

    def test_a_property_of_one_of_them_divides_that_one(self) -> None:
        plain = [{"clip": clip, "named": {}, "measured": {"length": 2.0}} for clip in CLIPS]
        other = run({"float32": misheard(1), "int8": misheard(3)}, clips=plain)
        runs = [Held.against(SAME, "float32"), Held.against(other, "float32")]
        result = compare_runs(runs, GateOptions(by=("language",)))
        assert len([check for check in result.checks if check.slice]) == 3
        with pytest.raises(InputError, match="has the property 'dialect'"):
            compare_runs(runs, GateOptions(by=("dialect",)))


class TestOptions:
    def test_only_some_models_are_checked(self) -> None:
        result = compare(WORSE, ACCEPTED, GateOptions(only=("float32",)))
        assert result.passed
        assert {check.model for check in result.checks} == {"float32"}
        with pytest.raises(InputError, match="no bench run has a model 'int4'"):
            compare(WORSE, ACCEPTED, GateOptions(only=("int4",)))

    def test_only_some_criteria_are(self) -> None:
        result = compare(SAME, ACCEPTED, GateOptions(criteria=("size_bytes",), by=("language",)))
        assert {check.criterion for check in result.checks} == {"size_bytes"}
        with pytest.raises(InputError, match="'cer' is not a criterion"):
            GateOptions(criteria=("cer",))

    def test_a_model_that_the_baseline_does_not_know_fails_if_that_is_wanted(self) -> None:
        now = run({"float32": misheard(1), "int8": misheard(3), "int4": misheard(4)})
        assert compare(now, ACCEPTED).ungated == ("int4",)
        result = compare(now, ACCEPTED, GateOptions(strict=True))
        assert failed(result) == ["int4 in_baseline"]
        assert "the baseline does not know this model" in markdown(result)

    def test_tolerances_replace_those_of_the_baseline(self) -> None:
        own = replace(ACCEPTED, model_tolerances={"int8": {"levenshtein": Tolerance(0.0)}})
        options = GateOptions(tolerances={"levenshtein": Tolerance(20.0)})
        assert compare(WORSE, own, options).passed


def test_a_report_of_before_cannot_be_divided() -> None:
    old = run({"float32": misheard(1), "int8": misheard(2)}, clips=[], by=[])
    assert not slices(compare(old, ACCEPTED))
    with pytest.raises(FormatError, match="bench it anew"):
        compare(old, ACCEPTED, GateOptions(by=("language",)))


def test_runs_that_heard_other_sounds_cannot_be_compared() -> None:
    noisy = run(
        {"float32": misheard(1), "int8": misheard(3)},
        corpus={"name": "three languages", "added": "noise:10dB, seed 0"},
    )
    with pytest.raises(FormatError, match="heard with noise:10dB, seed 0 added"):
        compare(noisy, ACCEPTED)
    result = compare_runs([Held.against(SAME, "float32"), Held.against(noisy, "float32")])
    corpora = {check.corpus for check in result.checks}
    assert corpora == {"three languages", "three languages with noise:10dB, seed 0"}
