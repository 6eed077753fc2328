"""The architecture of the published work, and batches in which clips do not see each other."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402


def small() -> Wav2Letter:
    torch.manual_seed(0)
    return Wav2Letter(Wav2LetterConfig(labels=5, width=8, head_width=12)).eval()


def test_full_width_has_the_published_parameters() -> None:
    model = Wav2Letter(Wav2LetterConfig())
    assert sum(p.numel() for p in model.parameters()) == 23_618_535


def test_layers_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = Wav2Letter(Wav2LetterConfig())
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv1d)]
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs]
    assert shapes == [
        (40, 250, 48, 2),
        *[(250, 250, 7, 1)] * 7,
        (250, 2000, 32, 1),
        (2000, 2000, 1, 1),
        (2000, 35, 1, 1),
    ]


@pytest.mark.parametrize("frames", [2, 3, 10, 47, 48, 49, 200, 201])
def test_output_is_half_the_input_and_one(frames: int) -> None:
    log_probs, lengths = small()(torch.randn(2, frames, 40), torch.tensor([frames, frames - 1]))
    assert log_probs.shape == (2, frames // 2 + 1, 5)
    assert lengths.tolist() == [frames // 2 + 1, (frames - 1) // 2 + 1]
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, frames // 2 + 1))


def test_a_clip_does_not_depend_on_its_batch() -> None:
    model = small()
    lengths = [2, 17, 48, 91, 160]
    clips = [torch.randn(n, 40) for n in lengths]
    padded = torch.full((5, 160, 40), 1000.0)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    with torch.no_grad():
        together, counts = model(padded, torch.tensor(lengths))
        for clip, batched, count in zip(clips, together, counts, strict=True):
            alone, _ = model(clip[None], torch.tensor([len(clip)]))
            torch.testing.assert_close(batched[:count], alone[0], rtol=0, atol=1e-5)


def test_batch_norm_is_a_setting() -> None:
    plain = sum(p.numel() for p in small().parameters())
    config = Wav2LetterConfig(labels=5, width=8, head_width=12, batch_norm=True)
    normed = sum(p.numel() for p in Wav2Letter(config).parameters())
    assert normed - plain == 2 * (8 * 8 + 2 * 12)
