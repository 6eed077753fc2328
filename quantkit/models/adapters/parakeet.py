"""Parakeet (NVIDIA, 2024): FastConformer behind NeMo's log-mel spectrogram."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import ParakeetForCTC

from quantkit.audio.nemo_frontend import PREEMPHASIS, NemoFrontend
from quantkit.errors import CheckpointError
from quantkit.models.adapters.family import FeatureFamily
from quantkit.models.layers.conformer import pointwise
from quantkit.models.layers.fast_conformer import FastConformerEncoder
from quantkit.models.layers.heads import FeatureCtcModel
from quantkit.models.layers.source import Source
from quantkit.models.settings import count_of


def parakeet_frontend(settings: Mapping[str, Any], origin: Path) -> NemoFrontend:
    """What a ``ParakeetFeatureExtractor`` computes.

    Args:
        settings: of ``origin``; those that are missing are its defaults.

    Raises:
        CheckpointError: they are damaged, or ask for another pre-emphasis.
    """
    emphasis = settings.get("preemphasis", PREEMPHASIS)
    if emphasis != PREEMPHASIS:
        raise CheckpointError(
            f"{origin}: preemphasis is {emphasis!r:.20}, and only {PREEMPHASIS} is supported"
        )
    return NemoFrontend(
        count_of(settings, "sampling_rate", 16_000, origin),
        count_of(settings, "win_length", 400, origin),
        count_of(settings, "hop_length", 160, origin),
        count_of(settings, "n_fft", 512, origin),
        count_of(settings, "feature_size", 80, origin),
    )


def _frontend(settings: Mapping[str, Any], _: Mapping[str, Any], origin: Path) -> NemoFrontend:
    return parakeet_frontend(settings, origin)


def _network(model: Source) -> FeatureCtcModel:
    return FeatureCtcModel(FastConformerEncoder(model.encoder), pointwise(model.ctc_head))


FAMILY = FeatureFamily(ParakeetForCTC, _network, _frontend)
