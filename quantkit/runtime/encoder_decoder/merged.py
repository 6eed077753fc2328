"""An encoder and a merged decoder in their published form, which answer like those of an artifact.

See :mod:`quantkit.graph.merged_decoder`. Free of the ``onnx`` package, as edge programs are.
"""

from __future__ import annotations

import numpy as np
import onnxruntime

from quantkit.arrays import FloatArray, IntArray
from quantkit.runtime.encoder_decoder.network import Memory, Network, States
from quantkit.runtime.output_scale import log_probabilities
from quantkit.runtime.speech_model import run_session

_PAST, _PRESENT = "past_key_values.", "present."
_HIDDEN, _READS = "last_hidden_state", "encoder_hidden_states"
# Keys and values of the encoder's output have it in their names.
_OF_ENCODER = ".encoder."


class MergedNetwork(Network):
    """The two sessions of a published folder.

    The first step of a text computes keys and values of the encoder's output, which the memory
    holds from then on.

    Args:
        encoder, decoder: sessions of the two files.
    """

    def __init__(
        self, encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession
    ) -> None:
        super().__init__(encoder, decoder)
        self._shapes = {
            value.name: value.shape
            for value in decoder.get_inputs()
            if value.name.startswith(_PAST)
        }

    def encode(self, heard: FloatArray) -> States:
        """The output of the encoder."""
        (hidden,) = run_session(self._encoder, [_HIDDEN], {self.heard: heard})
        return {_READS: hidden}

    def empty_memory(self, batch: int = 1) -> Memory:
        """Before the first token."""
        return Memory(
            {
                name: np.zeros((batch, shape[1], 0, shape[3]), np.float32)
                for name, shape in self._shapes.items()
            }
        )

    def first_states(self) -> States:
        """See :meth:`~quantkit.runtime.encoder_decoder.network.Network.first_states`."""
        own = self.empty_memory().states.items()
        return {
            name.replace(_PAST, "past.", 1).replace(".decoder.", ".", 1): values
            for name, values in own
            if _OF_ENCODER not in name
        }

    def step(
        self, tokens: IntArray, encoded: States, memory: Memory, positions: IntArray | None = None
    ) -> tuple[FloatArray, Memory]:
        """See :meth:`~quantkit.runtime.encoder_decoder.network.Network.step`."""
        begun = memory.length > 0
        feed = {
            "input_ids": tokens,
            "use_cache_branch": np.array([begun]),
            **encoded,
            **memory.states,
        }
        outputs = [name.replace(_PAST, _PRESENT, 1) for name in self._shapes]
        logits, *present = run_session(self._decoder, ["logits", *outputs], feed)
        wanted = [tokens.shape[1] - 1] if positions is None else positions
        made = dict(zip(self._shapes, present, strict=True))
        if begun:
            # Those of the encoder stay as they are; this branch gives nothing in their place.
            made |= {name: v for name, v in memory.states.items() if _OF_ENCODER in name}
        return log_probabilities(logits[:, wanted], "logits").astype(np.float32), Memory(made)
