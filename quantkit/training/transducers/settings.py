"""Sizes of a transducer to train."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RnntSettings:
    """Size of an RNN-T, where they have one in the names of ``transformers.ParakeetRNNTConfig``.

    Args:
        mel_bands: of the spectrogram that it hears.
        hidden_size: of the encoder; even, and a multiple of ``num_attention_heads``.
        conv_kernel_size: of the convolutions along time, in the encoder's frames; odd.
        subsampling_factor: frames of the spectrogram, of 10 ms, for each of the encoder's: 4 or 8.
        dropout: of the encoder's embeddings and feed-forward modules.
        decoder_hidden_size: of the predictor's LSTM and the joiner.
    """

    mel_bands: int = 80
    hidden_size: int = 144
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 576
    conv_kernel_size: int = 9
    subsampling_factor: int = 8
    subsampling_conv_channels: int = 64
    dropout: float = 0.1
    decoder_hidden_size: int = 144
    num_decoder_layers: int = 1

    def problem(self) -> str:
        """What contradicts itself; empty if nothing does."""
        if self.hidden_size % 2 or self.hidden_size % self.num_attention_heads:
            return "hidden_size must be even, and a multiple of num_attention_heads"
        if self.conv_kernel_size % 2 == 0:
            return "conv_kernel_size must be odd"
        if self.subsampling_factor not in (4, 8):
            return "subsampling_factor must be 4 or 8"
        return ""


@dataclass(frozen=True)
class TdtSettings(RnntSettings):
    """Size of a TDT.

    Args:
        longest_duration: frames of the encoder that a label or a blank may take at most.
    """

    longest_duration: int = 4
