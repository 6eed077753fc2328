"""A small model with the letters of the tone corpus."""

from __future__ import annotations

from quantkit.training.transducers.settings import RnntSettings, TdtSettings

SIZES = {
    "mel_bands": 16,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "subsampling_conv_channels": 8,
    "dropout": 0.0,
    "decoder_hidden_size": 24,
}
#: Settings of the smallest models, by the task that trains them.
SMALL: dict[str, RnntSettings] = {
    "rnnt": RnntSettings(**SIZES),  # type: ignore[arg-type]
    "tdt": TdtSettings(**SIZES, longest_duration=2),  # type: ignore[arg-type]
}
