"""Transducers of ``transformers`` in a folder: Parakeet RNN-T and TDT, Nemotron streaming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import (
    NemotronAsrStreamingForRNNT,
    ParakeetForRNNT,
    ParakeetForTDT,
    PreTrainedModel,
)

from quantkit.audio.nemo_frontend import NemoFrontend, NemoRawFrontend
from quantkit.errors import CheckpointError
from quantkit.models.adapters.parakeet import parakeet_frontend
from quantkit.models.family_checkpoint import FamilyCheckpoint, FamilyFolder
from quantkit.models.pretrained_files import feature_extractor
from quantkit.models.settings import count_of
from quantkit.models.vocabulary import transducer_labels
from quantkit.runtime.transducer.settings import TransducerSettings

#: By ``model_type`` of the ``config.json``.
_KINDS: dict[str, type[PreTrainedModel]] = {
    "parakeet_rnnt": ParakeetForRNNT,
    "parakeet_tdt": ParakeetForTDT,
    "nemotron_asr_streaming": NemotronAsrStreamingForRNNT,
}
# Their features are not normalised.
_STREAMING = frozenset(("nemotron_asr_streaming",))


#: Of a transducer.
TransducerCheckpoint = FamilyCheckpoint[NemoFrontend, TransducerSettings]


def load_transducer(folder: Path, adapter: Path | None = None) -> TransducerCheckpoint:
    """Load what ``save_pretrained`` wrote to ``folder``; no code in it is run.

    Args:
        adapter: folder of a LoRA adapter that is merged into the model.

    Raises:
        CheckpointError: files are missing, damaged or inconsistent, or the configuration has an
            unsupported part.
    """
    source = FamilyFolder(folder)
    config, origin = source.config, source.origin
    kind = _KINDS[source.model_type]
    frontend = parakeet_frontend(*feature_extractor(folder))
    if source.model_type in _STREAMING:
        frontend = _not_normalised(frontend, *feature_extractor(folder))
    any_kind: Any = kind
    defaults = any_kind.config_class()
    outputs = count_of(config, "vocab_size", defaults.vocab_size, origin)
    blank = config.get("blank_token_id", defaults.blank_token_id)
    if type(blank) is not int or not 0 <= blank < outputs:
        raise CheckpointError(
            f"{origin}: blank_token_id must be one of the {outputs} tokens, not {blank!r:.20}"
        )
    # Checked before the weights, which take longer.
    labels = transducer_labels(folder, outputs, blank)
    model: Any = source.load(kind)
    bands = int(model.config.encoder_config.num_mel_bins)
    if bands != frontend.mel_bands:
        raise CheckpointError(
            f"{folder}: the model takes {bands} bands, and its feature extractor makes "
            f"{frontend.mel_bands}"
        )
    settings = TransducerSettings(
        (blank,),
        _durations(model.config, origin),
        int(model.config.max_symbols_per_step),
        int(model.config.encoder_config.subsampling_factor),
    )
    return source.checkpoint(model, labels, frontend, settings, adapter)


def _not_normalised(
    frontend: NemoFrontend, settings: Mapping[str, Any], origin: Path
) -> NemoRawFrontend:
    if (precision := settings.get("mel_filters_dtype", "float32")) != "float32":
        raise CheckpointError(
            f"{origin}: mel_filters_dtype is {precision!r:.20}, and only float32 is supported"
        )
    return NemoRawFrontend(**{each.name: getattr(frontend, each.name) for each in fields(frontend)})


def _durations(config: Any, origin: Path) -> int:
    """How many durations there are, which must be 0, 1, 2, … frames."""
    listed = [*getattr(config, "durations", ())]
    if listed != [*range(len(listed))]:
        raise CheckpointError(f"{origin}: durations must be 0, 1, 2, …, not {listed!r:.40}")
    return len(listed)
