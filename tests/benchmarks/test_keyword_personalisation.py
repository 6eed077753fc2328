"""Whose audio was heard, seen from the one who is tested."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the split of speakers belongs to training")

from benchmarks.keyword_personalisation import Cell, Row, accuracy, by_relation


def row(**errors: list[int]) -> Row:
    return Row(1, json.dumps(errors))


RESULTS = {
    Cell(0, "none"): row(ann=[0, 0], bob=[0, 0]),
    Cell(9, "ann"): row(ann=[0, 0], bob=[1, 1]),
    Cell(9, "bob"): row(ann=[0, 1], bob=[0, 1]),
    Cell(9, "none"): row(ann=[1, 1], bob=[1, 0]),
}


def test_each_clip_has_its_own_file_the_others_and_nobodys() -> None:
    found = by_relation(RESULTS, 9)
    assert found["same"].tolist() == [0, 0, 0, 1]
    assert found["other"].tolist() == [0, 1, 1, 1]
    assert found["none"].tolist() == [1, 1, 1, 0]


def test_accuracy_is_the_share_of_clips_that_were_right() -> None:
    share, (low, high) = accuracy(np.array([0.0, 0.0, 0.0, 1.0]))
    assert share == 0.75
    assert 0.0 <= low <= share <= high <= 1.0
