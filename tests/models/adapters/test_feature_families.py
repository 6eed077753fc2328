"""Families of features compute for each clip of a batch what transformers does for it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from quantkit.models.adapters import ARCHITECTURES, FeatureFamily  # noqa: E402
from tests.parakeet import randomised  # noqa: E402

LENGTHS = (150, 97, 30)
BANDS = 16

CONFORMER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
BERT: dict[str, Any] = {
    **CONFORMER,
    "feature_projection_input_dim": BANDS,
    "conv_depthwise_kernel_size": 7,
    "vocab_size": 12,
    "left_max_position_embeddings": 9,
    "right_max_position_embeddings": 3,
}
PARAKEET: dict[str, Any] = {
    **CONFORMER,
    "num_mel_bins": BANDS,
    "subsampling_conv_channels": 8,
    "conv_kernel_size": 5,
}
LASR: dict[str, Any] = {**PARAKEET, "conv_kernel_size": 8}

MODELS: list[tuple[str, dict[str, Any]]] = [
    ("Wav2Vec2BertForCTC", BERT),
    ("Wav2Vec2BertForCTC", {**BERT, "position_embeddings_type": "relative"}),
    ("Wav2Vec2BertForCTC", {**BERT, "position_embeddings_type": "rotary"}),
    ("Wav2Vec2BertForCTC", {**BERT, "position_embeddings_type": None}),
    ("ParakeetForCTC", {"encoder_config": PARAKEET}),
    ("ParakeetForCTC", {"encoder_config": {**PARAKEET, "scale_input": False}}),
    ("ParakeetForCTC", {"encoder_config": {**PARAKEET, "attention_bias": False}}),
    ("ParakeetForCTC", {"encoder_config": {**PARAKEET, "subsampling_factor": 4}}),
    ("ParakeetForCTC", {"encoder_config": {**PARAKEET, "subsampling_conv_kernel_size": 5}}),
    ("LasrForCTC", {"encoder_config": LASR}),
    ("LasrForCTC", {"encoder_config": {**LASR, "conv_residual_weights": (0.7, 1.3)}}),
    ("LasrForCTC", {"encoder_config": {**LASR, "attention_bias": True, "conv_kernel_size": 7}}),
]


@pytest.mark.parametrize(("architecture", "settings"), MODELS)
def test_ctc(architecture: str, settings: dict[str, Any]) -> None:
    kind: Any = ARCHITECTURES[architecture].model
    model = randomised(kind(kind.config_class(**settings)))
    model.config._attn_implementation = "eager"
    family = ARCHITECTURES[architecture].family
    assert isinstance(family, FeatureFamily)
    generator = np.random.default_rng(0)
    clips = [generator.standard_normal((n, BANDS)).astype(np.float32) for n in LENGTHS]
    padded = 100.0 * torch.randn(len(LENGTHS), max(LENGTHS), BANDS)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    with torch.no_grad():
        log_probs, steps = family.module(model)(padded, torch.tensor(LENGTHS))
        for found, count, clip in zip(log_probs, steps, clips, strict=True):
            mask = torch.ones(1, len(clip), dtype=torch.bool)
            expected = model(torch.from_numpy(clip)[None], attention_mask=mask).logits[0]
            assert count == len(expected)
            torch.testing.assert_close(
                found[:count], torch.log_softmax(expected, -1), rtol=1e-4, atol=1e-4
            )
