"""A Moonshine of onnx-community."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.merged_family import MergedFamily
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.moonshine.settings import MOONSHINE, MoonshineSettings
from quantkit.tasks.names import MOONSHINE as TASK
from quantkit.text.label_files.written_tokens import token_labels

# The shortest clip that its three convolutions leave a frame of.
_RATE, _SHORTEST = 16_000, 1_024
_SECONDS = (0.5, 1.3, 3.0)


class MoonshineFolder(MergedFamily):
    """Takes a waveform of any length."""

    name = "Moonshine"
    hears = "input_values"

    def info(self, folder: Path, encoder: FoundGraph, outputs: int) -> ArtifactInfo:
        """With ``tokenizer.json`` or ``tokens.txt``."""
        return ArtifactInfo(
            labels=token_labels(folder, outputs),
            frontend=WaveformFrontend(_RATE, _SHORTEST),
            fused=True,
            task=TASK,
            extra={MOONSHINE: MoonshineSettings().to_json()},
        )

    def clips(self, encoder: FoundGraph) -> Iterator[tuple[str, FloatArray]]:
        """Of several lengths."""
        for seconds in _SECONDS:
            noise = 0.1 * np.random.default_rng(0).standard_normal((1, round(seconds * _RATE)))
            yield f"{seconds:g} s of noise", noise.astype(np.float32)
