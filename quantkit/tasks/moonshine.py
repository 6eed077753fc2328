"""Moonshine (Jeffries et al., 2024): an encoder of a waveform of any length, and a decoder that
writes it down token by token, with states as Whisper's has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantkit.errors import InputError
from quantkit.tasks.base import Answer, Task, WindowTrial, labels_and_frontend
from quantkit.tasks.encoder_decoder import EncoderDecoderTask
from quantkit.tasks.names import MOONSHINE

if TYPE_CHECKING:
    from quantkit.arrays import Array
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.audio.utterance import Corpus
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.moonshine.model import MoonshineModel
    from quantkit.tasks.inputs import ClipInputs, Feed
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels


class MoonshineTask(EncoderDecoderTask):
    """Two graphs: from ``waveform`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = MOONSHINE
    fewest_feeds = 1
    follows = frozenset(("decoder",))

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        """Waveforms, and the text that the float model itself writes for them."""
        from quantkit.tasks.moonshine_inputs import MoonshineInputs

        return MoonshineInputs(info, model)

    def clip_shape(self, shape: Sequence[int | str | None], length: int) -> tuple[int, ...]:
        """One clip."""
        return 1, length

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """With a text that is read token by token."""
        from quantkit.runtime.moonshine.model import MoonshineModel

        network = MoonshineModel.load(path, threads=0, check=False).network
        for clip, inputs in feeds:
            yield clip, network.read(inputs["waveform"], inputs["tokens"], inputs["positions"])

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """The text that the clip's inputs hold, which the float model wrote."""
        if info.labels is None or np.isnan(posteriors).any():
            return None
        return info.labels.decode(inputs["tokens"][0, 1:].tolist()).strip()

    def answers(
        self, path: Path, output: str, feeds: Iterable[Feed], info: ArtifactInfo
    ) -> Iterator[Answer]:
        """With the text that it writes greedily."""
        from quantkit.runtime.moonshine.model import MoonshineModel
        from quantkit.runtime.moonshine.search import read_and_write

        model = MoonshineModel.load(path, threads=0, check=False)
        for clip, inputs in feeds:
            waveform, tokens = inputs["waveform"], inputs["tokens"]
            seconds = waveform.shape[1] / model.frontend.sample_rate
            longest = model.settings.longest_text(seconds)
            log_probs, written = read_and_write(model.network, waveform, tokens, model.end, longest)
            yield Answer(clip, log_probs, model.labels.decode(written).strip())

    def with_window(self, info: ArtifactInfo, seconds: float) -> ArtifactInfo:
        """None: the clip is all that is computed."""
        return Task.with_window(self, info, seconds)

    def try_windows(
        self, info: ArtifactInfo, model: Path, corpus: Corpus
    ) -> tuple[WindowTrial, ...]:
        """None: see :meth:`with_window`."""
        raise InputError("--window is for a Whisper; a Moonshine computes no more than the clip")

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> MoonshineModel:
        """See :meth:`~quantkit.runtime.moonshine.model.MoonshineModel.load`."""
        from quantkit.runtime.moonshine.model import MoonshineModel

        return MoonshineModel.load(path, threads, check=check, decoding=decoding)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With labels and a front end."""
        return info.labels is not None and info.frontend is not None

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its labels, whose blank ends a text."""
        return labels_and_frontend(info, model)

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """What a text begins and ends with, and how long it may be."""
        from quantkit.runtime.moonshine.settings import moonshine_settings

        settings = moonshine_settings(info.extra)
        return {
            "kind": self.name,
            "prompt": [settings.start],
            "end": None if info.labels is None else info.labels.blank,
            "tokens_per_second": settings.tokens_per_second,
            "suppressed": [],
            "suppressed_first": [],
        }
