"""A Moonshine of either generation that ``save_pretrained`` of ``transformers`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import (
    MoonshineForConditionalGeneration,
    MoonshineStreamingForConditionalGeneration,
    PreTrainedModel,
)

from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.audio.windows import LONGEST_SECONDS
from quantkit.errors import CheckpointError, InputError
from quantkit.models.family_checkpoint import FamilyCheckpoint, FamilyFolder
from quantkit.models.pretrained_files import feature_extractor
from quantkit.models.settings import count_of
from quantkit.runtime.moonshine.settings import MoonshineSettings
from quantkit.text.label_files.written_tokens import token_labels

# Samples of the shortest clip that the first generation's convolutions (127 by 64, 7 by 3, 3 by 2)
# leave a step of.
_SHORTEST = 895
#: By ``model_type`` of the ``config.json``.
KINDS: dict[str, type[PreTrainedModel]] = {
    "moonshine": MoonshineForConditionalGeneration,
    "moonshine_streaming": MoonshineStreamingForConditionalGeneration,
}


def load_moonshine(
    folder: Path, adapter: Path | None = None
) -> FamilyCheckpoint[WaveformFrontend, MoonshineSettings]:
    """Load the model in ``folder``; no code in it is run.

    Args:
        adapter: folder of a LoRA adapter that is merged into the model.

    Raises:
        CheckpointError: files are missing, damaged or inconsistent, or the configuration has an
            unsupported part.
    """
    source = FamilyFolder(folder)
    config, origin = source.config, source.origin
    kind: Any = KINDS[source.model_type]
    _require_alike_heads(config, origin)
    extractor, extractor_path = feature_extractor(folder)
    rate = count_of(extractor, "sampling_rate", 16_000, extractor_path)
    if extractor.get("do_normalize", False) is not False:
        raise CheckpointError(f"{extractor_path}: do_normalize is not supported for a Moonshine")
    # Checked before the weights, which take longer.
    try:
        labels = token_labels(
            folder, count_of(config, "vocab_size", kind.config_class().vocab_size, origin)
        )
    except InputError as error:
        raise CheckpointError(f"{error}") from error
    model: Any = source.load(kind)
    window = _shortest(model.config, rate, origin)
    start, end = _start_and_end(model.config)
    if end != labels.blank or type(start) is not int or not 0 <= start < len(labels):
        raise CheckpointError(
            f"{origin}: texts start with token {start} and end with {end}, but the end is token "
            f"{labels.blank} of the vocabulary"
        )
    settings = MoonshineSettings(start)
    return source.checkpoint(model, labels, WaveformFrontend(rate, window), settings, adapter)


def _start_and_end(config: Any) -> tuple[object, object]:
    """Tokens, as ``generate`` finds them."""
    start, end = config.decoder_start_token_id, config.eos_token_id
    if isinstance(end, list) and len(end) == 1:
        (end,) = end
    return (config.bos_token_id if start is None else start), end


def _shortest(config: Any, rate: int, origin: Path) -> int:
    """Samples of the shortest clip that leaves a step.

    Raises:
        CheckpointError: a clip of 40 seconds has more steps than the second generation has
            positions, or its windows or its sample rate make no sense.
    """
    part = getattr(config, "encoder_config", None)
    if part is None:
        return _SHORTEST
    if part.sample_rate != rate:
        raise CheckpointError(
            f"{origin}: the encoder hears {part.sample_rate!r:.20} Hz, and the feature extractor "
            f"gives {rate}"
        )
    frame = round(rate * part.frame_ms / 1000.0)
    if frame < 1:
        raise CheckpointError(f"{origin}: frame_ms is {part.frame_ms!r:.20}, less than a sample")
    windows = part.sliding_windows
    if len(windows) != part.num_hidden_layers or min(left for left, _ in windows) < 1:
        raise CheckpointError(
            f"{origin}: sliding_windows must have a pair for each of the "
            f"{part.num_hidden_layers} layers, each of a step or more on the left"
        )
    # Two convolutions halve the frames.
    steps = -(-round(LONGEST_SECONDS * rate) // (4 * frame)) + 1
    if config.max_position_embeddings < steps:
        raise CheckpointError(
            f"{origin}: max_position_embeddings is {config.max_position_embeddings}, and a clip "
            f"of {LONGEST_SECONDS:g} seconds has {steps} steps"
        )
    return int(frame)


def _require_alike_heads(config: Mapping[str, Any], origin: Path) -> None:
    """Refuse keys and values with fewer heads than queries.

    ``transformers`` 5.24 computes no such decoder either: it gives queries the heads of keys.
    """
    for prefix in ("encoder_", "decoder_", ""):
        heads = config.get(f"{prefix}num_attention_heads")
        shared = config.get(f"{prefix}num_key_value_heads")
        if shared is not None and shared != heads:
            raise CheckpointError(
                f"{origin}: {prefix}num_key_value_heads is {shared!r:.20}, and only as many as "
                f"there are attention heads ({heads!r:.20}) are supported"
            )
    if isinstance(part := config.get("encoder_config"), dict):
        _require_alike_heads(part, origin)
