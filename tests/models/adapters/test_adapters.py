"""Every family computes for each clip of a padded batch what transformers does for it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from quantkit.errors import CheckpointError  # noqa: E402
from quantkit.models.adapters import ARCHITECTURES  # noqa: E402
from tests.pretrained import LARGE, tiny  # noqa: E402

LENGTHS = (900, 611, 30)
SUMMED = {"use_weighted_layer_sum": True}

DATA2VEC = {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}

CTC: list[tuple[str, dict[str, Any]]] = [
    ("Wav2Vec2ForCTC", {}),
    ("Wav2Vec2ForCTC", LARGE),
    ("Wav2Vec2ForCTC", {"feat_extract_norm": "layer"}),
    ("Wav2Vec2ForCTC", {"conv_bias": True}),
    ("Wav2Vec2ForCTC", {**LARGE, "adapter_attn_dim": 6}),
    ("Wav2Vec2ConformerForCTC", {"position_embeddings_type": "relative"}),
    ("Wav2Vec2ConformerForCTC", {"position_embeddings_type": "rotary", **LARGE}),
    ("Wav2Vec2ConformerForCTC", {"position_embeddings_type": None}),
    ("HubertForCTC", {}),
    ("HubertForCTC", LARGE),
    ("HubertForCTC", {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False}),
    ("WavLMForCTC", {}),
    ("UniSpeechForCTC", {}),
    ("UniSpeechForCTC", LARGE),
    ("Data2VecAudioForCTC", DATA2VEC),
    ("Data2VecAudioForCTC", {**DATA2VEC, "conv_pos_kernel_size": 6, "conv_bias": True}),
    ("WavLMForCTC", {**LARGE, "num_buckets": 12, "max_bucket_distance": 9}),
]
CLASSIFICATION: list[tuple[str, dict[str, Any]]] = [
    ("Wav2Vec2ForSequenceClassification", {}),
    ("Wav2Vec2ForSequenceClassification", {**LARGE, **SUMMED}),
    ("Wav2Vec2ConformerForSequenceClassification", SUMMED),
    ("HubertForSequenceClassification", SUMMED),
    ("UniSpeechForSequenceClassification", LARGE),
    ("Data2VecAudioForSequenceClassification", {**DATA2VEC, **SUMMED}),
    ("WavLMForSequenceClassification", {**LARGE, **SUMMED}),
]


def clips() -> list[Any]:
    generator = np.random.default_rng(0)
    loudness = (0.1, 0.001, 0.5)
    return [
        (scale * generator.standard_normal(n)).astype(np.float32)
        for scale, n in zip(loudness, LENGTHS, strict=True)
    ]


def noisy_batch() -> tuple[Any, Any]:
    padded = 100.0 * torch.randn(len(LENGTHS), max(LENGTHS))
    for row, clip in zip(padded, clips(), strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return padded, torch.tensor(LENGTHS)


def alone(model: Any, *, standardized: bool) -> list[Any]:
    found = []
    for clip in clips():
        heard = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7) if standardized else clip
        with torch.no_grad():
            logits = model(torch.from_numpy(heard)[None]).logits[0]
        found.append(torch.log_softmax(logits, -1))
    return found


@pytest.mark.parametrize(("architecture", "settings"), CTC)
def test_ctc(architecture: str, settings: dict[str, Any]) -> None:
    model = tiny(architecture, **settings)
    module = ARCHITECTURES[architecture].family.module(model, standardized=True)
    with torch.no_grad():
        log_probs, frames = module(*noisy_batch())
    assert frames.tolist() == [1 + (n - 30) // 20 for n in LENGTHS]
    for found, count, expected in zip(
        log_probs, frames, alone(model, standardized=True), strict=True
    ):
        torch.testing.assert_close(found[:count], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("architecture", "settings"), CLASSIFICATION)
def test_classification(architecture: str, settings: dict[str, Any]) -> None:
    model = tiny(architecture, **settings)
    module = ARCHITECTURES[architecture].family.module(model, standardized=True)
    with torch.no_grad():
        log_probs = module(*noisy_batch())
    expected = torch.stack(alone(model, standardized=True))
    torch.testing.assert_close(log_probs, expected, rtol=1e-4, atol=1e-4)


def test_clips_are_taken_as_they_are_where_the_feature_extractor_says_so() -> None:
    model = tiny("Wav2Vec2ForCTC", **LARGE)
    module = ARCHITECTURES["Wav2Vec2ForCTC"].family.module(model, standardized=False)
    with torch.no_grad():
        log_probs, frames = module(*noisy_batch())
    for found, count, expected in zip(
        log_probs, frames, alone(model, standardized=False), strict=True
    ):
        torch.testing.assert_close(found[:count], expected, rtol=1e-4, atol=1e-4)


def test_a_clip_without_a_frame_gives_none_and_no_nan() -> None:
    model = tiny("Wav2Vec2ForCTC")
    module = ARCHITECTURES["Wav2Vec2ForCTC"].family.module(model, standardized=True)
    with torch.no_grad():
        log_probs, frames = module(torch.randn(3, 200), torch.tensor([200, 29, 0]))
    assert frames.tolist() == [9, 0, 0]
    assert torch.isfinite(log_probs).all()


def test_weights_are_shared_and_the_source_stays_as_it_is() -> None:
    model = tiny("Wav2Vec2ForCTC")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    module = ARCHITECTURES["Wav2Vec2ForCTC"].family.module(model, standardized=True)
    assert module.lm_head.weight.data_ptr() == model.lm_head.weight.data_ptr()
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_what_is_not_supported_is_said() -> None:
    model = tiny("Wav2Vec2ForCTC", add_adapter=True, output_hidden_size=16)
    with pytest.raises(CheckpointError, match="add_adapter"):
        ARCHITECTURES["Wav2Vec2ForCTC"].family.module(model, standardized=True)
