"""LASR (Google, 2025): MedASR, a Conformer with CTC behind a log-mel spectrogram of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import LasrForCTC

from quantkit.audio.lasr_frontend import LasrFrontend
from quantkit.models.adapters.family import FeatureFamily
from quantkit.models.layers.conformer import pointwise
from quantkit.models.layers.heads import FeatureCtcModel
from quantkit.models.layers.lasr import LasrEncoder
from quantkit.models.layers.source import Source
from quantkit.models.settings import count_of

# Convolutions of the encoder.
_CONVOLUTIONS = 2


def _frontend(settings: Mapping[str, Any], config: Mapping[str, Any], origin: Path) -> LasrFrontend:
    encoder: Mapping[str, Any] = config.get("encoder_config") or {}
    kernel = count_of(encoder, "subsampling_conv_kernel_size", 5, origin)
    stride = count_of(encoder, "subsampling_conv_stride", 2, origin)
    fewest = 1
    for _ in range(_CONVOLUTIONS):
        fewest = (fewest - 1) * stride + kernel
    return LasrFrontend(
        count_of(settings, "sampling_rate", 16_000, origin),
        count_of(settings, "win_length", 400, origin),
        count_of(settings, "hop_length", 160, origin),
        count_of(settings, "n_fft", 512, origin),
        count_of(settings, "feature_size", 128, origin),
        fewest,
    )


def _network(model: Source) -> FeatureCtcModel:
    return FeatureCtcModel(LasrEncoder(model.encoder), pointwise(model.ctc_head))


FAMILY = FeatureFamily(LasrForCTC, _network, _frontend)
