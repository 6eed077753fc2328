"""Four graphs, two of which decode, in their published form: they answer like those of an artifact.

See :mod:`quantkit.graph.two_decoders`. Free of the ``onnx`` package, as edge programs are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime

from quantkit.arrays import Array, FloatArray, IntArray
from quantkit.graph.roles import PAST
from quantkit.graph.translation import Translations
from quantkit.runtime.encoder_decoder.network import Memory, Network, States
from quantkit.runtime.output_scale import log_probabilities
from quantkit.runtime.speech_model import run_session

_HEARD = "waveform"
_HIDDEN = "hidden"


class TwoDecoderNetwork(Network):
    """The four sessions of a published folder.

    The first step of a text computes keys and values of the encoder's output, which the memory
    holds from then on: the states of the published graphs, by their places.

    Args:
        sessions: of ``preprocess``, ``encode``, and the graphs for the first token and for those
            that follow.
        translations: what they take and give.
    """

    def __init__(
        self, sessions: Sequence[onnxruntime.InferenceSession], translations: Translations
    ) -> None:
        super().__init__(sessions[1], sessions[3])
        self.heard = _HEARD
        self._sessions, self._graphs = sessions, translations.graphs

    def encode(self, heard: FloatArray) -> States:
        """The output of the encoder."""
        features = self._run(0, [heard])[0]
        return {_HIDDEN: self._run(1, [features, np.array([features.shape[1]])])[0]}

    def empty_memory(self, batch: int = 1) -> Memory:
        """Before the first token."""
        return Memory({})

    def first_states(self) -> States:
        """See :meth:`~quantkit.runtime.encoder_decoder.network.Network.first_states`."""
        states = (each for each in self._graphs[3].takes if each.name.startswith(PAST))
        return {
            each.name: np.zeros(
                [size if isinstance(size, int) else 0 for size in shape], np.float32
            )
            for each in states
            for shape in [(1, *(each.sizes or ())[1:])]
        }

    def step(
        self, tokens: IntArray, encoded: States, memory: Memory, positions: IntArray | None = None
    ) -> tuple[FloatArray, Memory]:
        """See :meth:`~quantkit.runtime.encoder_decoder.network.Network.step`."""
        states = [*memory.states.values()]
        # The first state is one of the text: (batch, tokens, heads, size).
        before = states[0].shape[1] if states else 0
        length = np.array([before + tokens.shape[1]])
        logits, *after = self._run(3 if states else 2, [tokens, encoded[_HIDDEN], length, *states])
        wanted = [tokens.shape[1] - 1] if positions is None else positions
        remembered = Memory({str(place): values for place, values in enumerate(after)})
        return log_probabilities(logits[:, wanted], "logits").astype(np.float32), remembered

    def _run(self, place: int, values: Sequence[Array]) -> list[FloatArray]:
        graph = self._graphs[place]
        feed = {
            each.name: value.astype(each.type, copy=False)
            for each, value in zip(graph.inputs, values, strict=True)
        }
        return run_session(self._sessions[place], [each.name for each in graph.outputs], feed)
