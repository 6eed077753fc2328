"""The decoder of a Whisper with the weights of its cross-attention as further outputs.

They tell which part of the audio each token was written from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.roles import CROSSING, short_form_states
from quantkit.runtime.encoder_decoder.network import States
from quantkit.runtime.errors import in_one_line
from quantkit.runtime.session import session_options
from quantkit.runtime.speech_model import run_session

if TYPE_CHECKING:
    import onnx

#: Of the entry in :attr:`~quantkit.graph.info.ArtifactInfo.extra`: the heads that follow the audio,
#: as a JSON list of layer and head, which the checkpoints of Whisper name.
ALIGNMENT_HEADS = "alignment_heads"

Head = tuple[int, int]


def with_alignment_heads(info: ArtifactInfo, heads: Sequence[Head]) -> ArtifactInfo:
    """``info`` of an artifact whose checkpoint names the heads that follow the audio."""
    return replace(info, extra={**info.extra, ALIGNMENT_HEADS: json.dumps([*map(list, heads)])})


def alignment_heads_of(info: ArtifactInfo) -> tuple[Head, ...]:
    """The heads that the metadata name; none without a word.

    Raises:
        ModelError: the entry is no list of heads.
    """
    text = info.extra.get(ALIGNMENT_HEADS, "[]")
    try:
        return tuple((int(layer), int(head)) for layer, head in json.loads(text))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"the metadata are damaged: `quantkit.{ALIGNMENT_HEADS}` is no list of heads"
        ) from error


@dataclass(frozen=True)
class Reading:
    """What a decoder makes of a given text.

    Args:
        log_probs: (tokens,) natural log-probability of each token of the text.
        weights: (heads, tokens + 1, frames) of the cross-attention by which each of them, and the
            end of the text, was written.
    """

    log_probs: FloatArray
    weights: FloatArray


class CrossAttention:
    """A decoder that is asked for the weights of its cross-attention.

    Args:
        session: of a decoder with them as outputs, one for each layer.
        outputs: their names, layer by layer.
        heads: that follow the audio; none: all of the upper half of the layers.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, outputs: Sequence[str], heads: Sequence[Head]
    ) -> None:
        self._session, self._outputs, self._heads = session, outputs, heads
        self._states = short_form_states(
            {value.name: value.shape for value in session.get_inputs()}
        )

    @classmethod
    def load(cls, decoder: Path, heads: Sequence[Head] = (), threads: int = 1) -> CrossAttention:
        """Open the file of a decoder.

        Raises:
            ModelError: its cross-attention is not to be found, as where operators of ONNX Runtime
                were put in its place; or it does not load.
        """
        import onnx

        model = onnx.load(str(decoder), load_external_data=False)
        outputs = _add_outputs(model.graph)
        if not outputs or None in outputs:
            raise ModelError(
                f"{decoder}: its cross-attention is not in the graph, so there are no times of "
                "words; export the model again, or leave out --words"
            )
        options = session_options(threads)
        # The graph is not read from its file, which the names of external data are relative to.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(decoder.parent.absolute())
        )
        content = model.SerializeToString()
        del model
        try:
            session = onnxruntime.InferenceSession(
                content, sess_options=options, providers=["CPUExecutionProvider"]
            )
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            raise ModelError(
                f"{decoder} does not load with its cross-attention: {in_one_line(error)}"
            ) from error
        return cls(session, [name for name in outputs if name], heads)

    def read(self, encoded: States, prompt: Sequence[int], text: Sequence[int]) -> Reading:
        """Read a text at once.

        Args:
            encoded: what the decoder attends to; see
                :meth:`~quantkit.runtime.encoder_decoder.network.Network.encode`.
            prompt, text: tokens.
        """
        positions = np.arange(len(prompt) - 1, len(prompt) + len(text))
        feed = {
            "tokens": np.array([[*prompt, *text]]),
            "positions": positions,
            **{state.input: state.initial(1) for state in self._states},
            **encoded,
        }
        log_probs, *weights = run_session(self._session, ["log_probs", *self._outputs], feed)
        return Reading(
            log_probs[0, np.arange(len(text)), [*text]],
            np.stack([weights[layer][0, head, positions] for layer, head in self._chosen(weights)]),
        )

    def _chosen(self, weights: Sequence[FloatArray]) -> Iterable[Head]:
        """Heads that the model has: names of others may be in damaged metadata."""
        sizes = [layer.shape[1] for layer in weights]
        known = [
            (layer, head)
            for layer, head in self._heads
            if 0 <= layer < len(sizes) and 0 <= head < sizes[layer]
        ]
        upper = range(len(sizes) // 2, len(sizes))
        return known or [(layer, head) for layer in upper for head in range(sizes[layer])]


def _add_outputs(graph: onnx.GraphProto) -> list[str | None]:
    """Let the weights of each layer be outputs; returns their names, None for what is not found."""
    import onnx

    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    layers = sum(value.name.startswith(CROSSING) for value in graph.input) // 2
    found: list[str | None] = []
    for layer in range(layers):
        found.append(_softmax_of(readers, f"{CROSSING}{layer}.key"))
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in found if name)
    return found


def _softmax_of(readers: dict[str, list[onnx.NodeProto]], keys: str) -> str | None:
    """The softmax of the scores that queries have with ``keys``."""
    value, steps = keys, 0
    while steps < 4:
        following = readers.get(value, [])
        if len(following) != 1:
            return None
        (node,) = following
        value = node.output[0]
        if node.op_type == "Softmax":
            return str(value)
        steps += 1
    return None
