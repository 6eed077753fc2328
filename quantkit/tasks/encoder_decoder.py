"""An encoder that hears a clip once, and a decoder that writes it down token by token.

The states of the decoder are keys and values of the tokens so far: ``present.<layer>.key`` of one
run is ``past.<layer>.key`` of the next (see :func:`quantkit.graph.roles.short_form`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantkit.graph.roles import DECODER, ENCODER, FOUR_GRAPHS
from quantkit.tasks.base import Answer, Task

if TYPE_CHECKING:
    import onnx

    from quantkit.arrays import Array
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.encoder_decoder.model import GreedyModel
    from quantkit.tasks.inputs import ClipInputs, Feed
    from quantkit.text.decoding import Decoding
    from quantkit.text.scoring import TextScoring


class EncoderDecoderTask(Task):
    """Two graphs: from a clip to ``cross.*``, and on to ``log_probs`` of tokens."""

    roles = (ENCODER, DECODER)
    unit = "token"

    def has_roles(self, roles: Sequence[str]) -> bool:
        """Also those of a folder that was published in four graphs."""
        return super().has_roles(roles) or tuple(roles) == FOUR_GRAPHS

    def mark_graphs(self, whole: onnx.ModelProto) -> None:
        """In the shorter form, which every version of quantkit reads."""
        from quantkit.graph.joined import set_short_form

        set_short_form(whole)

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """With a text that is read token by token: given at once, all tokens would share a grid."""
        from quantkit.runtime.encoder_decoder.opening import open_network

        network = open_network(path, threads=0)
        for clip, inputs in feeds:
            heard = _heard(inputs)
            yield clip, network.read(heard, inputs["tokens"], inputs["positions"])

    def says_nothing(self, text: str) -> bool:
        """Whether there is no token of text: where nobody speaks, none is written."""
        return not text

    def scoring(self, info: ArtifactInfo) -> TextScoring | None:
        """Without case and signs."""
        from quantkit.text.scoring import NamedScoring, WrittenTextScoring

        return NamedScoring(WrittenTextScoring(), "basic")


class GreedyTask(EncoderDecoderTask):
    """One whose decoder takes the likeliest token at each step.

    Its clips need no windows, and its artifacts have their tokens as labels.
    """

    @abstractmethod
    def model_class(self) -> type[GreedyModel]:
        """What runs an artifact of it."""

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        """Clips, and the text that the float model itself writes for them."""
        from quantkit.tasks.own_text_inputs import OwnTextInputs

        return OwnTextInputs(self.model_class(), info, model)

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """The text that the clip's inputs hold, which the float model wrote."""
        if info.labels is None or np.isnan(posteriors).any():
            return None
        written = inputs["tokens"][0, int(inputs["positions"][0]) + 1 :]
        return info.labels.decode(written.tolist()).strip()

    def answers(
        self, path: Path, output: str, feeds: Iterable[Feed], info: ArtifactInfo
    ) -> Iterator[Answer]:
        """With the text that it writes greedily, after the same prompt."""
        from quantkit.runtime.encoder_decoder.greedy import read_and_write

        model = self.model_class().load(path, threads=0, check=False)
        for clip, inputs in feeds:
            heard = _heard(inputs)
            longest = model.longest_text(model.seconds_of(heard[0]))
            log_probs, written = read_and_write(
                model.network, heard, inputs["tokens"], inputs["positions"], model.end, longest
            )
            yield Answer(clip, log_probs, model.text_of_tokens(written))

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> GreedyModel:
        """See :meth:`~quantkit.runtime.encoder_decoder.model.GreedyModel.load`."""
        return self.model_class().load(path, threads, check=check, decoding=decoding)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With labels and a front end."""
        return info.labels is not None and info.frontend is not None


def _heard(inputs: Mapping[str, Array]) -> Array:
    """What the encoder takes of a clip; published files call it otherwise."""
    return inputs["waveform"] if "waveform" in inputs else inputs["features"]
