"""Wav2Letter in chunks gives the rows of the whole clip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantkit.exporting.fold import fold_batch_norm
from quantkit.models.streaming_wav2letter import ConvolutionInChunks, StreamingWav2Letter
from tests.streaming_model import LABELS, network

MODEL = network()
CHUNKED = StreamingWav2Letter(fold_batch_norm(MODEL), LABELS.blank)


def in_chunks(features: torch.Tensor, lengths: torch.Tensor, chunk: int) -> list[torch.Tensor]:
    """The rows of each clip of a batch."""
    count = len(features)
    states = [torch.zeros(count, dtype=torch.int64) for _ in range(2)]
    caches = [torch.zeros(count, *shape) for shape in CHUNKED.caches.values()]
    rows: list[list[torch.Tensor]] = [[] for _ in range(count)]
    ahead = CHUNKED.delay
    runs = -(-(features.shape[1] // 2 + 1 + CHUNKED.delay) * 2 // chunk)
    padded = nn.functional.pad(features, (0, 0, 0, runs * chunk - features.shape[1]), value=9.0)
    for start in range(0, runs * chunk, chunk):
        valid = (lengths - start).clamp(0, chunk)
        log_probs, found, *behind = CHUNKED(
            padded[:, start : start + chunk], valid, *states, caches
        )
        states, caches = behind[:2], behind[2:]
        skipped = min(ahead, log_probs.shape[1])
        ahead -= skipped
        for clip in range(count):
            rows[clip].append(log_probs[clip, skipped : skipped + int(found[clip])])
    return [torch.cat(each) for each in rows]


def test_a_convolution_is_late_by_what_it_sees_ahead() -> None:
    strided = ConvolutionInChunks.of(nn.Conv1d(1, 1, 48, stride=2, padding=23))
    assert strided == ConvolutionInChunks(cache=47, delay=12, stride=2)
    assert ConvolutionInChunks.of(nn.Conv1d(1, 1, 7, padding=3)) == ConvolutionInChunks(6, 3, 1)
    assert ConvolutionInChunks.of(nn.Conv1d(1, 1, 32, padding=16)) == ConvolutionInChunks(31, 15, 1)
    assert ConvolutionInChunks.of(nn.Conv1d(1, 1, 1)) == ConvolutionInChunks(0, 0, 1)


def test_its_look_ahead_is_that_of_all_convolutions() -> None:
    assert CHUNKED.delay == 12 + 7 * 3 + 15
    assert [*CHUNKED.caches] == [f"layer{n}" for n in range(1, 10)]
    assert CHUNKED.caches["layer1"] == (40, 47)
    assert CHUNKED.caches["layer9"] == (12, 31)


@pytest.mark.parametrize("chunk", [2, 16, 32, 400])
@pytest.mark.parametrize("lengths", [(2, 3, 31), (32, 33, 16), (151, 90, 7)])
def test_chunks_give_the_rows_of_the_whole_clip(chunk: int, lengths: tuple[int, ...]) -> None:
    """Of any length, odd or even, in a batch of clips that end one after the other."""
    torch.manual_seed(chunk)
    counts = torch.tensor(lengths)
    features = torch.randn(len(lengths), max(lengths), 40)
    with torch.no_grad():
        expected, valid = MODEL(features, counts)
        found = in_chunks(features, counts, chunk)
    for clip in range(len(lengths)):
        rows = expected[clip, : int(valid[clip])]
        assert found[clip].shape == rows.shape
        assert (found[clip] - rows).abs().max() < 1e-5


def test_rows_that_are_none_of_the_clip_say_blank() -> None:
    nothing = torch.zeros(1, dtype=torch.int64)
    caches = [torch.zeros(1, *shape) for shape in CHUNKED.caches.values()]
    with torch.no_grad():
        log_probs, found, *_ = CHUNKED(
            torch.randn(1, 16, 40), torch.tensor([16]), nothing, nothing.clone(), caches
        )
    assert int(found[0]) == 0
    assert log_probs.exp().argmax(-1).unique().tolist() == [LABELS.blank]
    assert log_probs.exp().sum(-1).allclose(torch.ones(1, 8))
