"""A Canary that ``save_pretrained`` of ``transformers`` wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import CanaryForConditionalGeneration

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.errors import CheckpointError, InputError
from quantkit.models.adapters.parakeet import parakeet_frontend
from quantkit.models.family_checkpoint import FamilyCheckpoint, FamilyFolder
from quantkit.models.pretrained_files import feature_extractor
from quantkit.models.settings import count_of
from quantkit.runtime.canary.settings import CanarySettings
from quantkit.text.label_files.written_tokens import token_labels

# Names of the tokens before a text (NeMo's prompt format "canary2"); None: the language.
_PROMPT = (
    *("<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", None, None, "<|pnc|>"),
    *("<|noitn|>", "<|notimestamp|>", "<|nodiarize|>"),
)
_UNPUNCTUATED = "<|nopnc|>"
_LANGUAGE = re.compile(r"<\|([a-z]{2})\|>")


def load_canary(
    folder: Path, adapter: Path | None = None
) -> FamilyCheckpoint[NemoFrontend, CanarySettings]:
    """Load the model in ``folder``; no code in it is run, its chat template neither.

    Args:
        adapter: folder of a LoRA adapter that is merged into the model.

    Raises:
        CheckpointError: files are missing, damaged or inconsistent, or the configuration has an
            unsupported part.
    """
    source = FamilyFolder(folder)
    config, origin = source.config, source.origin
    frontend = parakeet_frontend(*feature_extractor(folder))
    kind: Any = CanaryForConditionalGeneration
    # Checked before the weights, which take longer.
    outputs = count_of(config, "vocab_size", kind.config_class().vocab_size, origin)
    end = config.get("eos_token_id", kind.config_class().eos_token_id)
    try:
        labels = token_labels(folder, outputs, end)
    except InputError as error:
        raise CheckpointError(f"{error}") from error
    model: Any = source.load(kind)
    encoder, decoder = model.config.encoder_config, model.config.decoder_config
    if encoder.model_type != "parakeet_encoder":
        raise CheckpointError(f"{origin}: the encoder is a {encoder.model_type!r:.40}")
    if encoder.num_mel_bins != frontend.mel_bands:
        raise CheckpointError(
            f"{folder}: the model takes {encoder.num_mel_bins} bands, and its feature extractor "
            f"makes {frontend.mel_bands}"
        )
    if decoder.num_key_value_heads != decoder.num_attention_heads:
        raise CheckpointError(
            f"{origin}: num_key_value_heads is {decoder.num_key_value_heads}, and only as many as "
            f"there are attention heads ({decoder.num_attention_heads}) are supported"
        )
    settings = _settings(labels.tokens, model.config, frontend, folder)
    return source.checkpoint(model, labels, frontend, settings, adapter)


def _settings(
    tokens: Sequence[str], config: Any, frontend: NemoFrontend, folder: Path
) -> CanarySettings:
    numbers = {token: number for number, token in enumerate(tokens)}
    languages = {
        found[1]: number for token, number in numbers.items() if (found := _LANGUAGE.match(token))
    }
    wanted = (*(name for name in _PROMPT if name is not None), _UNPUNCTUATED)
    missing = [name for name in wanted if name not in numbers]
    if missing or not languages or config.decoder_start_token_id != numbers[_PROMPT[0] or ""]:
        reason = f"has no token {missing[0]}" if missing else "names no language"
        if not missing and languages:
            reason = f"begins texts with token {config.decoder_start_token_id}"
        raise CheckpointError(
            f"{folder} {reason}, and only prompts of the second format of Canary "
            "(<|startofcontext|><|startoftranscript|>…) are supported"
        )
    usual = languages.get("en", next(iter(languages.values())))
    step = frontend.seconds_of(int(config.encoder_config.subsampling_factor))
    places = [place for place, name in enumerate(_PROMPT) if name is None]
    return CanarySettings(
        prompt=tuple(usual if name is None else numbers[name] for name in _PROMPT),
        source=places[0],
        target=places[1],
        punctuation=_PROMPT.index("<|pnc|>"),
        languages=dict(sorted(languages.items())),
        unpunctuated=numbers[_UNPUNCTUATED],
        positions=int(config.decoder_config.max_position_embeddings),
        tokens_per_second=1.0 / step,
    )
