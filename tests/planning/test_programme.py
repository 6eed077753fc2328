"""The integer programme finds what trying every combination finds."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from scipy.optimize import milp

from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.graph.plan import Structure
from quantkit.planning.programme import Option, Programme, Solution, undominated
from quantkit.quantization.choices.settings import LayerChoice

CODECS = [CodecChoice("bitplane", bits) for bits in (1, 2, 4, 7)]
TABLES = {"a": 700, "b": 1900, "c": 300}


def choice(codec: CodecChoice = INT8) -> LayerChoice:
    return LayerChoice("static", codec, range="min-max")


def random_options(seed: int, layers: int = 5) -> dict[str, list[Option]]:
    draw = random.Random(seed)
    return {
        f"layer{i}": [
            Option(
                choice(codec),
                divergence=10 ** draw.uniform(-7, 1),
                bytes=draw.randint(100, 30_000),
                tables={name: TABLES[name] for name in draw.sample("abc", draw.randint(0, 2))},
                milliseconds=draw.uniform(0.1, 3.0),
            )
            for codec in CODECS
        ]
        for i in range(layers)
    }


def every_solution(options: dict[str, list[Option]]) -> list[Solution]:
    return [
        Solution(dict(zip(options, combination, strict=True)))
        for combination in itertools.product(*options.values())
    ]


def divergence(solution: Solution) -> float:
    return solution.divergence


@pytest.mark.parametrize("seed", range(12))
def test_least_divergence_is_that_of_the_best_of_all_combinations(seed) -> None:
    options = random_options(seed)
    sizes = sorted(each.bytes for each in every_solution(options))
    budget = sizes[len(sizes) * (seed + 1) // 14]
    found = Programme(options).least_divergence(budget)
    best = min((s for s in every_solution(options) if s.bytes <= budget), key=divergence)
    assert found is not None
    assert found.bytes <= budget
    assert found.divergence == pytest.approx(best.divergence, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_limit_on_latency_is_kept(seed) -> None:
    options = random_options(seed)
    everything = every_solution(options)
    times = sorted(each.milliseconds for each in everything)
    sizes = sorted(each.bytes for each in everything)
    limit, budget = times[len(times) // 5], sizes[len(sizes) // 2]
    found = Programme(options).least_divergence(budget, limit)
    possible = [s for s in everything if s.bytes <= budget and s.milliseconds <= limit]
    assert found is not None
    assert found.milliseconds <= limit
    assert found.divergence == pytest.approx(divergence(min(possible, key=divergence)), rel=1e-9)
    assert Programme(options).least_divergence(budget, times[0] - 0.01) is None


def test_extremes() -> None:
    options = random_options(seed=3)
    everything = every_solution(options)
    programme = Programme(options)
    smallest, fastest = programme.least_bytes(), programme.least_milliseconds()
    assert smallest is not None
    assert smallest.bytes == min(each.bytes for each in everything)
    assert fastest.milliseconds == pytest.approx(min(each.milliseconds for each in everything))
    assert programme.least_divergence(smallest.bytes - 1) is None
    exactly = programme.least_divergence(smallest.bytes)
    assert exactly is not None
    assert exactly.bytes == smallest.bytes


def test_tables_that_layers_share_count_once() -> None:
    good = Option(choice(CODECS[3]), 1.0, 100, {"a": 700})
    options = {name: [good, Option(choice(CODECS[0]), 2.0, 300)] for name in "xyz"}
    found = Programme(options).least_divergence(100 * 3 + 700)
    assert found is not None
    assert found.bytes == 1000
    assert list(found.options.values()) == [good] * 3
    # One byte less, and no layer is worth the table.
    assert Programme(options).least_divergence(999) == Solution(
        dict.fromkeys("xyz", options["x"][1])
    )


@pytest.mark.parametrize("seed", range(6))
def test_layers_with_one_weight_have_one_codec(seed) -> None:
    options = random_options(seed)
    tied = ("layer1", "layer4")
    sizes = sorted(each.bytes for each in every_solution(options))
    budget = sizes[len(sizes) // 3]
    found = Programme(options, [tied]).least_divergence(budget)
    possible = [
        s
        for s in every_solution(options)
        if s.bytes <= budget and s.choices["layer1"].codec == s.choices["layer4"].codec
    ]
    assert found is not None
    assert found.choices["layer1"].codec == found.choices["layer4"].codec
    assert found.divergence == pytest.approx(divergence(min(possible, key=divergence)), rel=1e-9)


def dominated(options: Sequence[Option]) -> list[Option]:
    kept = undominated(options)
    return [option for option in options if option not in kept]


def test_only_what_is_no_better_in_anything_is_dominated() -> None:
    base = Option(choice(), 1.0, 100, {"a": 1}, 5.0)
    assert dominated([base, Option(choice(), 1.1, 100, {"a": 1}, 5.0)])
    assert dominated([base, Option(choice(), 1.0, 100, {"a": 1, "b": 1}, 6.0)])
    assert not dominated([base, Option(choice(), 1.1, 99, {"a": 1}, 5.0)])
    assert not dominated([base, Option(choice(), 1.1, 101, {}, 5.0)])
    assert not dominated([base, Option(choice(), 1.1, 101, {"a": 1}, 4.9)])
    assert undominated([base, base]) == (base,)


def test_same_question_gets_the_same_answer() -> None:
    options = random_options(1)
    alike = {name: [*each, *each] for name, each in options.items()}
    budget = 60_000
    assert Programme(options).least_divergence(budget) == Programme(alike).least_divergence(budget)


@pytest.mark.skipif(os.name != "posix", reason="reaches the C library as POSIX systems do")
def test_nothing_but_the_answer_is_printed(monkeypatch, capfd) -> None:
    """HiGHS writes to the process's standard output whenever it repairs a solution."""

    def chatty(*arguments, **options):
        ctypes.CDLL(None).puts(b"repairing")
        return milp(*arguments, **options)

    monkeypatch.setattr("quantkit.planning.programme.milp", chatty)
    print("before")
    assert Programme(random_options(0)).least_bytes() is not None
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"


def with_channels(seed: int) -> dict[str, list[Option]]:
    """Options of which some make or read 8 or 16 channels: layer1 reads what layer0 makes."""
    draw = random.Random(seed)
    options = random_options(seed)
    for count in (8, 16):
        made = Structure(channels=count)
        options["layer0"] += [
            replace(each, structure=made, divergence=each.divergence + draw.uniform(0, 1))
            for each in options["layer0"]
        ]
        options["layer1"] += [
            replace(each, reads=count, bytes=each.bytes // draw.randint(2, 4))
            for each in options["layer1"]
        ]
    # All combinations of five such layers are too many to try.
    return {name: options[name][:12] for name in ("layer0", "layer1", "layer2")}


@pytest.mark.parametrize("seed", range(8))
def test_a_layer_reads_the_channels_that_the_one_before_it_makes(seed) -> None:
    options = with_channels(seed)
    possible = [
        solution
        for solution in every_solution(options)
        if solution.options["layer0"].makes == solution.options["layer1"].reads
    ]
    sizes = sorted(each.bytes for each in possible)
    budget = sizes[len(sizes) * (seed + 1) // 12]
    programme = Programme(options, readers={"layer0": "layer1"})
    found = programme.least_divergence(budget)
    best = min((each for each in possible if each.bytes <= budget), key=divergence)
    assert found is not None
    assert found.options["layer0"].makes == found.options["layer1"].reads
    assert found.divergence == pytest.approx(best.divergence, rel=1e-5)


def test_fewer_channels_dominate_only_the_same() -> None:
    whole = Option(choice(), 0.1, 100)
    fewer = Option(choice(), 0.2, 200, structure=Structure(channels=8))
    reading = Option(choice(), 0.2, 200, reads=8)
    worse = Option(choice(), 0.3, 300, structure=Structure(channels=8))
    found = undominated([whole, fewer, reading, worse])
    assert sorted(map(id, found)) == sorted(map(id, [whole, fewer, reading]))


def with_a_branch(seed: int) -> dict[str, list[Option]]:
    """Layer 1 may make its mean alone, and then layer 0, which it alone needs, is gone."""
    draw = random.Random(seed)
    options = {name: each for name, each in random_options(seed).items() if name != "layer4"}
    free = Option(choice(), 0.0, 0)
    options["layer0"].append(replace(free, is_gone=True))
    cost = 10 ** draw.uniform(-4, 1)
    options["layer1"].append(replace(free, divergence=cost, structure=Structure(mean=True)))
    return options


@pytest.mark.parametrize("seed", range(8))
def test_a_layer_goes_only_where_the_one_that_needs_it_makes_its_mean(seed) -> None:
    options = with_a_branch(seed)
    possible = [
        solution
        for solution in every_solution(options)
        if solution.options["layer0"].is_gone == solution.options["layer1"].is_mean
    ]
    sizes = sorted(each.bytes for each in possible)
    budget = sizes[len(sizes) * (seed + 1) // 12]
    found = Programme(options, needed_by={"layer0": "layer1"}).least_divergence(budget)
    best = min((each for each in possible if each.bytes <= budget), key=divergence)
    assert found is not None
    assert found.options["layer0"].is_gone == found.options["layer1"].is_mean
    assert found.divergence == pytest.approx(best.divergence, rel=1e-5)
