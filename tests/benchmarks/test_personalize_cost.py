"""What personalising costs: the promises, and when they are broken."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.personalize_cost import (
    Comparison,
    Cost,
    broken_comparisons,
    broken_promises,
    comparison_table,
    report,
)

STEPS = {"listen": 40.0, "plan": 9.0, "quantize": 0.5, "compare": 0.5}
SHIPPED = Cost("shipped", 23_000_000, 32, 371.6, STEPS, 80.0, 1_300_000_000)
LARGE = replace(SHIPPED, model="Wav2Vec2-Base", source_bytes=379_000_000)


def test_seconds_are_those_of_all_steps() -> None:
    assert SHIPPED.seconds == 50.0
    assert "| shipped, 32 clips (372 s) | 40.0 | 9.0 | 0.5 | 0.5 | 50 | 80 |" in report([SHIPPED])


def test_memory_is_promised_in_sizes_of_a_large_model() -> None:
    assert broken_promises([SHIPPED, LARGE]) == []
    greedy = replace(LARGE, peak_bytes=1_600_000_000)
    assert broken_promises([greedy]) == ["Wav2Vec2-Base: 4.2 times the float model in memory"]


def test_each_model_has_a_time_of_its_own() -> None:
    steps = STEPS | {"listen": 70.0}
    slow = [replace(SHIPPED, steps=steps), replace(LARGE, steps=steps)]
    assert broken_promises(slow) == ["shipped, 32 clips: 80 s > 60 s"]


def test_rounds_are_compared_one_by_one_since_the_host_changes_between_them() -> None:
    faster = Comparison("shipped", old=(100.0, 200.0, 110.0), new=(60.0, 140.0, 55.0))
    assert faster.share == 0.6
    assert "| shipped | 3 | 110.0 | 60.0 | 0.60 |" in comparison_table([faster])


def test_new_code_may_take_seven_tenths_of_the_processor_time_of_old_code() -> None:
    just = Comparison("shipped", old=(100.0,), new=(70.0,))
    slow = Comparison("Wav2Vec2-Base", old=(100.0,), new=(80.0,))
    assert broken_comparisons([just, slow]) == [
        "Wav2Vec2-Base: 0.80 of the processor time of before, not 0.7"
    ]
