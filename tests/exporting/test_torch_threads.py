"""Exported weights do not depend on the number of threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import quantkit
from quantkit.exporting.torch_threads import all_threads, one_thread
from tests.pretrained import save, tiny


def test_checks_run_in_as_many_threads_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = [2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: said[-1])
    monkeypatch.setattr(torch, "set_num_threads", said.append)
    with all_threads():
        assert said == [2]
    with one_thread():
        assert said[-1] == 1
        with all_threads():
            assert said[-1] == 2
        assert said[-1] == 1
    assert said[-1] == 2


@pytest.mark.slow
def test_a_weight_norm_has_the_same_bytes(tmp_path: Path) -> None:
    """It is computed while the model is exported; sums of 64 × 32 × 16 weights are divided."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    folder = save(tmp_path / "model", tiny("Wav2Vec2ForCTC", **sizes))
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            path = tmp_path / str(threads) / "model.onnx"
            quantkit.export(folder, path)
            made.append(path.read_bytes())
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1]
