"""A Moonshine that ``save_pretrained`` of ``transformers`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from transformers import MoonshineForConditionalGeneration

from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.errors import CheckpointError, InputError
from quantkit.models.config_limits import require_sensible
from quantkit.models.lora import merge_adapter
from quantkit.models.pretrained import load_weights
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    digest_of,
    feature_extractor,
    licence_of,
    read_json_object,
    weights_files,
)
from quantkit.models.settings import count_of
from quantkit.runtime.moonshine.settings import MoonshineSettings
from quantkit.text.label_files.written_tokens import token_labels
from quantkit.text.labels import Labels

# Samples of the shortest clip that its convolutions (127 by 64, 7 by 3, 3 by 2) leave a step of.
SHORTEST = 895


class MoonshineCheckpoint(NamedTuple):
    """A model in evaluation mode and float32, with all that its artifact says of it.

    Args:
        model: a ``transformers.MoonshineForConditionalGeneration``.
        labels: its tokens; the end of a text stands in the place of the blank.
        sha256: of the weights; see :func:`~quantkit.models.pretrained_files.digest_of`.
        licence: from the model's card.
    """

    model: Any
    labels: Labels
    frontend: WaveformFrontend
    settings: MoonshineSettings
    sha256: str
    licence: str


def load_moonshine(folder: Path, adapter: Path | None = None) -> MoonshineCheckpoint:
    """Load the model in ``folder``; no code in it is run.

    Args:
        adapter: folder of a LoRA adapter that is merged into the model.

    Raises:
        CheckpointError: files are missing, damaged or inconsistent, or the configuration has an
            unsupported part.
    """
    origin = folder / CONFIG_NAME
    config = read_json_object(origin)
    require_sensible(config, origin)
    _require_alike_heads(config, origin)
    extractor, extractor_path = feature_extractor(folder)
    frontend = WaveformFrontend(
        count_of(extractor, "sampling_rate", 16_000, extractor_path), SHORTEST
    )
    if extractor.get("do_normalize", False) is not False:
        raise CheckpointError(f"{extractor_path}: do_normalize is not supported for a Moonshine")
    files = weights_files(folder)
    # Checked before the weights, which take longer.
    try:
        labels = token_labels(folder, count_of(config, "vocab_size", 32_768, origin))
    except InputError as error:
        raise CheckpointError(f"{error}") from error
    model: Any = load_weights(folder, MoonshineForConditionalGeneration, files)
    start, end = model.config.decoder_start_token_id, model.config.eos_token_id
    if end != labels.blank or not 0 <= start < len(labels):
        raise CheckpointError(
            f"{origin}: texts start with token {start} and end with {end}, but the end is token "
            f"{labels.blank} of the vocabulary"
        )
    digest = digest_of(files)
    if adapter is not None:
        digest = merge_adapter(model, adapter, digest)
    settings = MoonshineSettings(start)
    return MoonshineCheckpoint(model, labels, frontend, settings, digest, licence_of(folder))


def _require_alike_heads(config: dict[str, Any], origin: Path) -> None:
    """Refuse keys and values with fewer heads than queries.

    ``transformers`` 5.24 computes no such Moonshine either: it gives queries the heads of keys.
    """
    for part in ("encoder", "decoder"):
        heads = config.get(f"{part}_num_attention_heads")
        shared = config.get(f"{part}_num_key_value_heads")
        if shared is not None and shared != heads:
            raise CheckpointError(
                f"{origin}: {part}_num_key_value_heads is {shared!r:.20}, and only as many as "
                f"there are attention heads ({heads!r:.20}) are supported"
            )
