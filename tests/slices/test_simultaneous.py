"""False alarms over many slices together, and what is found all the same."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.slices.simultaneous import adjusted_p_values

CLIPS = 60
DRAWS = 999


def slices_of(values: np.ndarray) -> list[tuple[range | list[int], np.ndarray]]:
    """All clips, both halves, and every third clip: slices that overlap."""
    places = [range(CLIPS), range(30), range(30, CLIPS), *(range(i, CLIPS, 3) for i in range(3))]
    return [([*each], values[[*each]]) for each in places]


def test_a_slice_that_got_worse_is_found_beside_others_that_did_not() -> None:
    values = np.random.default_rng(0).normal(0, 1, CLIPS)
    values[30:] += 2.0
    found = adjusted_p_values(slices_of(values), CLIPS, draws=DRAWS)
    assert found[2] == min(found) <= 2 / DRAWS
    assert found[1] > 0.2


@pytest.mark.parametrize("kind", ["normal", "few clips differ", "skewed"])
def test_false_alarms_over_all_slices_are_as_rare_as_stated(kind: str) -> None:
    generator = np.random.default_rng(5)
    alarms, runs = 0, 200
    for seed in range(runs):
        if kind == "normal":
            values = generator.normal(0, 1, CLIPS)
        elif kind == "few clips differ":
            values = generator.choice([-1.0, 0.0, 0.0, 0.0, 1.0], CLIPS)
        else:
            values = generator.exponential(1.0, CLIPS) - 1.0
        alarms += min(adjusted_p_values(slices_of(values), CLIPS, seed, 199)) <= 0.05
    # 5 % of 200, and what chance adds to it in one of a thousand such tests.
    assert alarms <= 20


def test_one_very_bad_clip_is_no_proof() -> None:
    values = np.zeros(CLIPS)
    values[3] = 1_000.0
    assert min(adjusted_p_values(slices_of(values), CLIPS, draws=DRAWS)) > 0.3


def test_several_models_share_the_signs_and_the_correction() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, CLIPS)
    alone = adjusted_p_values(slices_of(values)[:1], CLIPS, draws=DRAWS)[0]
    twice = adjusted_p_values(slices_of(values)[:1] * 2, CLIPS, draws=DRAWS)
    # Two copies of one slice are one comparison: a Bonferroni correction would double it.
    assert twice == [alone, alone]
    many = [([*range(CLIPS)], np.random.default_rng(s).normal(0, 1, CLIPS)) for s in range(2, 30)]
    assert adjusted_p_values([*slices_of(values)[:1], *many], CLIPS, draws=DRAWS)[0] > alone


def test_nothing_gives_nothing_and_zeros_are_never_worse() -> None:
    assert adjusted_p_values([], 0) == []
    assert adjusted_p_values([([0, 1], np.zeros(2))], 2, draws=DRAWS) == [1.0]


def test_the_seed_gives_the_same_numbers() -> None:
    columns = slices_of(np.random.default_rng(0).normal(0.2, 1, CLIPS))
    first, again = (adjusted_p_values(columns, CLIPS, 7, DRAWS) for _ in range(2))
    assert first == again
