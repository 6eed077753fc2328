"""The sizes in a ``config.json`` of ``transformers``, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantkit.errors import CheckpointError

# Beyond any model of speech, so that a mistyped size exhausts neither memory nor patience.
_LARGEST, _MOST_LAYERS, _MOST_TOKENS = 1 << 16, 256, 1 << 20

_LAYERS = (
    *("num_hidden_layers", "encoder_layers", "decoder_layers", "num_feat_extract_layers"),
    *("num_decoder_layers", "encoder_num_hidden_layers", "decoder_num_hidden_layers"),
)
# Configurations of parts.
_PARTS = ("encoder_config", "decoder_config")
_SIZES = (
    "hidden_size",
    "d_model",
    "num_attention_heads",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "intermediate_size",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "num_mel_bins",
    "max_source_positions",
    "max_target_positions",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "conv_depthwise_kernel_size",
    "classifier_proj_size",
    "num_buckets",
    "max_bucket_distance",
    "codevector_dim",
    "proj_codevector_dim",
    "num_codevectors_per_group",
    "num_codevector_groups",
    "subsampling_factor",
    "subsampling_conv_channels",
    "subsampling_conv_kernel_size",
    "subsampling_conv_stride",
    "conv_kernel_size",
    "decoder_hidden_size",
    "max_symbols_per_step",
    "max_position_embeddings",
)
# A model without these parts has null.
_OPTIONAL = ("adapter_attn_dim", "output_hidden_size", "num_adapter_layers")
_LISTS = ("conv_dim", "conv_kernel", "conv_stride")
_LIMITS = {
    **dict.fromkeys(_LAYERS, _MOST_LAYERS),
    **dict.fromkeys((*_SIZES, *_OPTIONAL), _LARGEST),
    "vocab_size": _MOST_TOKENS,
}


def require_sensible(config: Mapping[str, Any], origin: Path) -> None:
    """Refuse a configuration whose sizes are no positive whole numbers, or beyond any model's.

    Those of its parts are checked, too.

    Args:
        config: content of ``origin``.

    Raises:
        CheckpointError: names the entry.
    """
    for key, most in _LIMITS.items():
        value = config.get(key, 1)
        if not (value is None and key in _OPTIONAL) and not _is_within(value, most):
            raise CheckpointError(
                f"{origin}: {key} must be a whole number from 1 to {most}, not {value!r:.60}"
            )
    lists = {key: config[key] for key in _LISTS if key in config}
    for key, values in lists.items():
        if not isinstance(values, list) or not 0 < len(values) <= _MOST_LAYERS:
            raise CheckpointError(
                f"{origin}: {key} must be a list with a number for each convolution, not "
                f"{values!r:.60}"
            )
        for value in values:
            if not _is_within(value, _LARGEST):
                raise CheckpointError(
                    f"{origin}: {key} must have whole numbers from 1 to {_LARGEST}, not "
                    f"{value!r:.60}"
                )
    for key in _PARTS:
        if isinstance(part := config.get(key), dict):
            require_sensible(part, origin)
    if len({len(values) for values in lists.values()}) > 1:
        counts = ", ".join(f"{len(values)} in {key}" for key, values in lists.items())
        raise CheckpointError(f"{origin}: convolutions of different numbers: {counts}")


def _is_within(value: object, most: int) -> bool:
    # bool is a subclass of int.
    return type(value) is int and 1 <= value <= most
