"""A Whisper of onnx-community, as transformers.js and others open it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import ModelError
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.merged_family import MergedFamily
from quantkit.graph.info import ArtifactInfo
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    licence_of,
    optional_json_object,
)
from quantkit.runtime.whisper.cross_attention import with_alignment_heads
from quantkit.tasks.names import WHISPER

_CLIPS = 2


class WhisperFolder(MergedFamily):
    """Takes the spectrogram of a window of 30 seconds."""

    name = "Whisper"
    hears = "input_features"

    def info(self, folder: Path, encoder: FoundGraph, outputs: int) -> ArtifactInfo:
        """With ``tokenizer.json`` or the vocabulary beside it, and ``generation_config.json``."""
        from quantkit.models.whisper.generation import (
            GENERATION_NAME,
            alignment_heads,
            read_generation,
        )
        from quantkit.models.whisper.settings_files import require_usual_frontend
        from quantkit.models.whisper.vocabulary_files import read_vocabulary
        from quantkit.models.whisper.vocabulary_places import vocabulary_folder

        bands, _ = _window(encoder)
        require_usual_frontend(folder)
        generation = read_generation(folder, optional_json_object(folder / CONFIG_NAME))
        info = ArtifactInfo(
            frontend=WhisperFrontend(mel_bands=bands),
            task=WHISPER,
            licence=licence_of(folder),
            vocabulary=read_vocabulary(
                vocabulary_folder(folder, outputs), outputs, bands, generation
            ),
        )
        heads = alignment_heads(optional_json_object(folder / GENERATION_NAME))
        return with_alignment_heads(info, heads) if heads else info

    def clips(self, encoder: FoundGraph) -> Iterator[tuple[str, FloatArray]]:
        """Whole windows: this encoder takes no others."""
        shape = (1, *_window(encoder))
        for seed in range(_CLIPS):
            features = np.random.default_rng(seed).uniform(-1.0, 1.5, shape)
            yield "a window of noise", features.astype(np.float32)


def _window(encoder: FoundGraph) -> tuple[int, int]:
    """Bands and frames of what the encoder takes.

    Raises:
        ModelError: they are no window of a Whisper.
    """
    usual = WhisperFrontend()
    sizes = encoder.input(WhisperFolder.hears).sizes or ()
    bands, frames = sizes[1:] if len(sizes) == 3 else (None, None)
    if bands not in (None, 80, 128) or frames not in (None, usual.window_frames):
        raise ModelError(
            f"{encoder.file} takes {list(sizes)}, and a Whisper a window of 80 or 128 bands and "
            f"{usual.window_frames} frames"
        )
    return bands or usual.mel_bands, usual.window_frames
