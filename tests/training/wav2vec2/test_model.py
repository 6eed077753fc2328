"""Frames of pupil and teacher, and how they are laid upon each other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from quantkit.audio.frontend import Frontend
from quantkit.errors import CheckpointError
from quantkit.models.checkpoint import load_wav2letter
from quantkit.text.labels import Labels
from quantkit.training.wav2vec2.model import Pupil, between, new_wav2vec2, take_convolutions
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings
from quantkit.training.wav2vec2.teacher import load_teacher
from tests.training.wav2vec2.conftest import SMALL


@pytest.mark.parametrize("settings", [SMALL, Wav2Vec2Settings()])
def test_settings_count_frames_as_the_model_does(settings: Wav2Vec2Settings) -> None:
    model = new_wav2vec2(settings, Labels.english()).eval()
    samples = settings.window + 3 * settings.hop + 5
    with torch.inference_mode():
        logits = model(torch.randn(1, samples)).logits
    assert settings.frames_of(samples) == logits.shape[1] == 4
    assert settings.frames_of(settings.window) == 1
    assert settings.frames_of(settings.window - 1) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_dim": (8, 8)}, "lists of one length"),
        ({"num_attention_heads": 3}, "multiple of num_attention_heads"),
        ({"num_conv_pos_embedding_groups": 5}, "multiple of num_conv_pos_embedding_groups"),
    ],
)
def test_settings_that_contradict_themselves_say_so(
    changes: dict[str, object], message: str
) -> None:
    assert message in dataclasses.replace(SMALL, **changes).problem()  # type: ignore[arg-type]
    assert SMALL.problem() == ""


def test_padding_changes_no_valid_frame_behind_the_first_norm() -> None:
    torch.manual_seed(0)
    pupil = Pupil(new_wav2vec2(SMALL, Labels.english()), SMALL, 0).eval()
    clip = torch.randn(1, 8_000)
    alone, frames = pupil.hidden(clip, torch.tensor([8_000]))
    padded, valid = pupil.hidden(torch.nn.functional.pad(clip, (0, 320)), torch.tensor([8_000]))
    assert int(frames) == int(valid) == alone.shape[1]
    # The norm of the first layer is taken over the padding, too, and differs a little by it.
    assert torch.allclose(padded[:, : int(valid)], alone, atol=0.2)


def test_rows_are_interpolated_and_held_at_both_ends() -> None:
    rows = torch.tensor([[[0.0, 10.0], [2.0, 30.0], [6.0, 50.0]]])
    found = between(rows, torch.tensor([-3.0, 0.25, 2.0, 7.0]))
    assert found.tolist() == [[[0.0, 10.0], [0.5, 15.0], [6.0, 50.0], [6.0, 50.0]]]


def test_a_pupil_that_predicts_the_states_is_at_distance_0() -> None:
    torch.manual_seed(0)
    pupil = Pupil(new_wav2vec2(SMALL, Labels.english()), SMALL, 2)
    assert pupil.to_teacher is not None
    with torch.no_grad():
        pupil.to_teacher.weight.zero_()
        pupil.to_teacher.bias.copy_(torch.tensor([1.0, -1.0]))
    hidden, frames = torch.randn(2, 5, SMALL.hidden_size), torch.tensor([5, 3])
    wanted = torch.tensor([1.0, -1.0]).expand(2, 5, 2).clone()
    # Behind the end of the second clip.
    wanted[1, 3:] = 7.0
    assert pupil.distance(hidden, frames, wanted).item() == pytest.approx(0, abs=1e-6)
    wanted[1, 2] = 3.0
    assert pupil.distance(hidden, frames, wanted).item() == pytest.approx((1.5 + 3.5) / 16)


def test_a_pupil_that_writes_the_same_diverges_by_0() -> None:
    torch.manual_seed(0)
    pupil = Pupil(new_wav2vec2(SMALL, Labels.english()), SMALL, 2).eval()
    hidden, frames = torch.randn(2, 5, SMALL.hidden_size), torch.tensor([5, 3])
    logits = pupil.log_probs(hidden).detach().clone() + 4.0
    logits[1, 3:] = torch.randn(2, 29)
    assert pupil.divergence(hidden, frames, logits).item() == pytest.approx(0, abs=1e-5)
    said = pupil.log_probs(hidden)[0, 0].detach().double()
    other = torch.randn(29).double()
    wanted = other.log_softmax(-1)
    logits[0, 0] = other
    expected = float((wanted.exp() * (wanted - said)).sum()) / 8
    assert pupil.divergence(hidden, frames, logits).item() == pytest.approx(expected, rel=1e-4)


def test_the_teachers_states_lie_in_the_middle_of_frames() -> None:
    pupil = Pupil(new_wav2vec2(SMALL, Labels.english()), SMALL, 1)
    # Each of its states is the sample at which it is centred.
    hop, centre = 160, 200
    taught = (centre + hop * torch.arange(40.0))[None, :, None]
    found = pupil.at_frames(taught, 8, hop, centre).flatten()
    assert found.tolist() == [SMALL.window / 2 + SMALL.hop * i for i in range(8)]


def test_the_teacher_is_heard_clip_by_clip(teacher_folder: Path) -> None:
    teacher = load_teacher(teacher_folder)
    found = load_wav2letter(teacher_folder)
    random = np.random.default_rng(0)
    clips = [random.standard_normal(n).astype(np.float32) for n in (4_000, 6_000)]
    batch = torch.zeros(2, 6_000)
    for row, clip in zip(batch, clips, strict=True):
        row[: clip.size] = torch.from_numpy(clip)
    states = teacher(batch, torch.tensor([4_000, 6_000]))
    assert states.shape[2] == teacher.width == found.model.config.head_width
    for row, clip in zip(states, clips, strict=True):
        features = torch.from_numpy(Frontend()(clip))[None]
        length = torch.tensor([features.shape[1]])
        (alone,) = teacher(torch.from_numpy(clip)[None], torch.tensor([clip.size]))
        log_probs, frames = found.model(features, length)
        count = int(frames)
        assert torch.allclose(row[:count], alone[:count], atol=1e-5)
        logits = found.model.output(alone[:count].T[None]).transpose(1, 2)
        assert torch.allclose(logits.log_softmax(-1), log_probs[:, :count], atol=1e-4)


def test_a_clip_that_is_shorter_than_its_window_is_heard(teacher_folder: Path) -> None:
    states = load_teacher(teacher_folder)(torch.randn(1, 100), torch.tensor([100]))
    assert states.shape[0] == 1
    assert states.shape[1] > 0


def test_damaged_convolutions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(CheckpointError):
        take_convolutions(new_wav2vec2(SMALL, Labels.english()), tmp_path)
