"""Large models hear less audio and try fewer candidates, by rules that no clock bends."""

from __future__ import annotations

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.graph.layers import Layer
from quantkit.sensitivity.divergence_settings import (
    DivergenceSettings,
    effort,
    listened_codecs,
    probe_codecs,
)


def layers(count: int, weights: int, op: str = "MatMul") -> list[Layer]:
    return [Layer(i, f"layer{i}", op, "w", (weights // 64, 64), weights) for i in range(count)]


FOR_ALL = DivergenceSettings().for_all_layers
SHIPPED = layers(11, 512_000)
LARGE = layers(82, 1_150_000)


def test_shipped_model_affords_enough_audio_and_all_candidates_that_matter() -> None:
    found = effort(DivergenceSettings(), SHIPPED, clips=32, seconds=58)
    assert found.clips == tuple(range(32))
    assert {codec.bits for codec in probe_codecs(FOR_ALL, found.probes)} == {1, 2, 3}
    assert found.probes == 5
    assert found.all_grids
    more = effort(DivergenceSettings(), SHIPPED, clips=32, seconds=320)
    assert 4 <= len(more.clips) <= 8
    assert (more.probes, more.all_grids) == (5, True)


def test_large_model_hears_part_of_the_audio_and_tries_few_candidates() -> None:
    found = effort(DivergenceSettings(), LARGE, clips=32, seconds=160)
    assert (found.probes, found.all_grids) == (1, False)
    assert len(found.clips) < 5
    spread = {clip // 8 for clip in found.clips}
    assert len(spread) == len(found.clips)
    # Unless it is told otherwise.
    wanted = DivergenceSettings(seconds=1e9, probes=4)
    assert effort(wanted, LARGE, clips=32, seconds=160).clips == tuple(range(32))
    assert effort(wanted, LARGE, clips=32, seconds=160).probes == 4


def test_windows_are_heard_however_large_the_model_is() -> None:
    found = effort(DivergenceSettings(), LARGE, clips=32, seconds=960, fewest=8)
    assert found.clips == (2, 6, 10, 14, 18, 22, 26, 30)
    assert found.probes == 2
    assert effort(DivergenceSettings(), LARGE, clips=3, seconds=90, fewest=8).clips == (0, 1, 2)
    told = DivergenceSettings(seconds=30.0)
    assert len(effort(told, LARGE, clips=32, seconds=960, fewest=8).clips) == 1


def test_patience_buys_audio_first() -> None:
    """As a classifier needs it, of which each clip shows a single frame."""
    usual = effort(DivergenceSettings(), SHIPPED, clips=64, seconds=320)
    patient = effort(DivergenceSettings(), SHIPPED, clips=64, seconds=320, patience=3.0)
    assert len(patient.clips) == pytest.approx(3 * len(usual.clips), abs=2)
    assert patient.probes == usual.probes


def test_embeddings_cost_nothing() -> None:
    embedding = layers(1, 10**9, "Gather")
    plain = effort(DivergenceSettings(), SHIPPED, clips=9, seconds=40)
    assert effort(DivergenceSettings(), [*SHIPPED, *embedding], clips=9, seconds=40) == plain


@pytest.mark.parametrize(("clips", "seconds"), [(1, 0.2), (1, 3600.0), (7, 0.0)])
def test_at_least_one_clip_is_heard(clips: int, seconds: float) -> None:
    found = effort(DivergenceSettings(), LARGE, clips, seconds)
    assert 1 <= len(found.clips) <= clips
    assert set(found.clips) <= set(range(clips))


def test_probes_are_spread_over_the_widths_from_the_narrowest() -> None:
    codecs = [CodecChoice("bitplane", bits) for bits in (7, 2, 5, 4, 3, 6)]
    assert [codec.bits for codec in probe_codecs(codecs, 1)] == [3]
    assert [codec.bits for codec in probe_codecs(codecs, 2)] == [2, 4]
    assert [codec.bits for codec in probe_codecs(codecs, 3)] == [2, 3, 4]
    assert [codec.bits for codec in probe_codecs(codecs, 5)] == [2, 3, 4, 5, 6]
    assert [str(codec) for codec in probe_codecs(FOR_ALL, 2)] == ["grouped:2", "grouped:4"]
    assert [codec.bits for codec in probe_codecs(FOR_ALL, 4)] == [1, 2, 2, 3]


def test_tiers_are_for_vocabularies_that_fill_them() -> None:
    texts = ("grouped:3", "tiered:3,tiers=100x8", "tiered:3,tiers=100x8+4000x5")
    settings = DivergenceSettings(tuple(map(CodecChoice.parse, texts)))
    assert list(map(str, settings.for_all_layers)) == ["grouped:3"]
    assert list(map(str, settings.for_vocabulary(5000))) == list(texts[1:])
    assert list(map(str, settings.for_vocabulary(4100))) == list(texts[1:2])


def test_one_candidate_is_run_however_wide() -> None:
    wide = DivergenceSettings((CodecChoice.parse("int8"),))
    assert effort(wide, SHIPPED, clips=3, seconds=9).probes == 1
    assert effort(wide, LARGE, clips=30, seconds=900).probes == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"candidates": ()}, "at least one candidate"),
        (
            {"candidates": (CodecChoice.parse("tiered:3,tiers=9x8"),)},
            "that goes with all layers",
        ),
        ({"activation_bits": (0,)}, r"1 to 16 bits, not \[0\]"),
        ({"weighting": "loud"}, "unknown weighting 'loud'"),
        ({"probes": 0}, "at least one candidate must be run"),
        ({"seconds": -1.0}, "seconds of audio must be above 0"),
        ({"threads": -1}, "threads must be 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message) -> None:
    with pytest.raises(InputError, match=message):
        DivergenceSettings(**wrong)


def test_those_that_are_run_are_not_listened_to() -> None:
    probes = probe_codecs(FOR_ALL, 5)
    assert [str(codec) for codec in probes if codec.bits == 3] == ["grouped:3", "bitplane:3"]
    expected = ["grouped:4", "grouped:6", "bitplane:5", "bitplane:7", "int8"]
    expected += ["rice:1.25", "rice:3", "rice:4.5"]
    assert sorted(map(str, listened_codecs(FOR_ALL, probes))) == sorted(expected)


def test_the_ends_and_the_middle_of_each_codec_are_listened_to() -> None:
    probes = probe_codecs(FOR_ALL, 2)
    assert list(map(str, probes)) == ["grouped:2", "grouped:4"]
    expected = ["grouped:1", "grouped:6", "bitplane:2", "bitplane:5", "bitplane:7"]
    expected += ["rice:1.25", "rice:3", "rice:4.5", "int8"]
    assert list(map(str, listened_codecs(FOR_ALL, probes))) == expected


def test_of_codecs_with_many_steps_others_tell_enough() -> None:
    assert not any(codec.takes_any_bits for codec in probe_codecs(FOR_ALL, len(FOR_ALL)))
    alone = tuple(codec for codec in FOR_ALL if codec.takes_any_bits)
    assert probe_codecs(alone, 1)


def test_where_one_clip_is_all_it_is_a_short_one_but_no_fragment() -> None:
    sizes = (10, 11, 1, 6, 12)
    assert effort(DivergenceSettings(), LARGE, 5, 40, sizes).clips == (3,)
    assert effort(DivergenceSettings(), LARGE, 5, 40).clips == (2,)
    assert len(effort(DivergenceSettings(), SHIPPED, 5, 40, sizes).clips) == 5
