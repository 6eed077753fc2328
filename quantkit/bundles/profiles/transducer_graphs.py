"""The graphs of a transducer with the inputs and outputs that other programs know.

NeMo's encoders take bands before frames, icefall's frames before bands. A predictor of NeMo carries
two states of all its layers, where an artifact may have one for each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import onnx

from quantkit.bundles.profiles.graphs import Names, give_interface, output_sizes
from quantkit.errors import ModelError
from quantkit.graph.interface import Declared
from quantkit.graph.roles import BATCH, DECODER, ENCODER, State
from quantkit.graph.translation import Step
from quantkit.runtime.transducer.network import JOINER, PREDICTOR

# From (layers, clips, width) to an order in which layers can be cut, and back.
_LAYERS_LAST, _LAYERS_FIRST = (1, 2, 0), (2, 0, 1)


@dataclass(frozen=True)
class StatePair:
    """Both states of an LSTM, each of them one state of the artifact for every layer or for some.

    Args:
        hidden, cell: of the artifact.
    """

    hidden: tuple[State, ...]
    cell: tuple[State, ...]

    @classmethod
    def of(cls, states: Sequence[State]) -> StatePair | None:
        """Those of a predictor; None where it does not have the two of an LSTM."""
        found: list[tuple[State, ...]]
        if len(states) == 2:
            found = [(states[0],), (states[1],)]
        else:
            ordered = sorted(states, key=lambda state: state.input.split(".")[0])
            found = [tuple(group) for _, group in groupby(ordered, lambda s: s.input.split(".")[0])]
            found.sort(key=lambda group: states.index(group[0]))
        shapes = {state.shape for group in found for state in group}
        if len(found) != 2 or len(found[0]) != len(found[1]) or len(shapes) != 1:
            return None
        (shape,) = shapes
        if len(shape) != 3 or shape[1] != BATCH:
            return None
        return cls(*found)

    @property
    def layers(self) -> int:
        """Of the LSTM."""
        return sum(int(state.shape[0]) for state in self.hidden)

    @property
    def width(self) -> int:
        """Of a state of a layer."""
        return int(self.hidden[0].shape[2])

    def declared(self, names: tuple[str, str]) -> tuple[Declared, ...]:
        """Both, (layers, clips, width)."""
        return tuple(
            Declared.of(name, "float32", self.layers, "batch", self.width) for name in names
        )

    def cut(self, names: Names, given: tuple[str, str]) -> list[Step]:
        """From the program's two values to the artifact's states."""
        steps: list[Step] = []
        for states, name in zip((self.hidden, self.cell), given, strict=True):
            ours = [names.ours(state.input) for state in states]
            if len(states) == 1:
                steps.append(Step("identity", (name,), (ours[0],)))
                continue
            turned = names.between(f"{name}.turned")
            parts = tuple(names.between(f"{name}.{number}") for number in range(len(states)))
            steps += [
                Step("transpose", (name,), (turned,), _LAYERS_LAST),
                Step("split", (turned,), parts, tuple(int(state.shape[0]) for state in states)),
                *(
                    Step("transpose", (part,), (own,), _LAYERS_FIRST)
                    for part, own in zip(parts, ours, strict=True)
                ),
            ]
        return steps

    def joined(self, names: Names, made: tuple[str, str]) -> list[Step]:
        """From the artifact's states behind a run to the program's two values."""
        steps: list[Step] = []
        for states, name in zip((self.hidden, self.cell), made, strict=True):
            ours = [names.ours(state.output) for state in states]
            if len(states) == 1:
                steps.append(Step("identity", (ours[0],), (name,)))
                continue
            turned = tuple(names.between(f"{name}.{number}") for number in range(len(states)))
            whole = names.between(f"{name}.whole")
            steps += [
                *(
                    Step("transpose", (own,), (part,), _LAYERS_LAST)
                    for own, part in zip(ours, turned, strict=True)
                ),
                Step("concat", turned, (whole,)),
                Step("transpose", (whole,), (name,), _LAYERS_FIRST),
            ]
        return steps


def nemo_encoder(model: onnx.ModelProto, bands: int) -> int:
    """Give an encoder NeMo's interface, in place; returns how wide its rows are."""
    names, width = Names(ENCODER), _width(model, "encoded")
    give_interface(
        model,
        ENCODER,
        takes=(
            Declared.of("audio_signal", "float32", "batch", bands, "frames"),
            Declared.of("length", "int64", "batch"),
        ),
        gives=(
            Declared.of("outputs", "float32", "batch", width, "steps"),
            Declared.of("encoded_lengths", "int64", "batch"),
        ),
        before=(
            Step("transpose", ("audio_signal",), (names.ours("features"),), (0, 2, 1)),
            Step("identity", ("length",), (names.ours("lengths"),)),
        ),
        behind=(
            Step("transpose", (names.ours("encoded"),), ("outputs",), (0, 2, 1)),
            Step("identity", (names.ours("encoded_lengths"),), ("encoded_lengths",)),
        ),
    )
    return width


def icefall_encoder(model: onnx.ModelProto, bands: int) -> int:
    """Give an encoder icefall's interface, in place; returns how wide its rows are."""
    names, width = Names(ENCODER), _width(model, "encoded")
    give_interface(
        model,
        ENCODER,
        takes=(
            Declared.of("x", "float32", "N", "T", bands),
            Declared.of("x_lens", "int64", "N"),
        ),
        gives=(
            Declared.of("encoder_out", "float32", "N", "S", width),
            Declared.of("encoder_out_lens", "int64", "N"),
        ),
        before=(
            Step("identity", ("x",), (names.ours("features"),)),
            Step("identity", ("x_lens",), (names.ours("lengths"),)),
        ),
        behind=(
            Step("identity", (names.ours("encoded"),), ("encoder_out",)),
            Step("identity", (names.ours("encoded_lengths"),), ("encoder_out_lens",)),
        ),
    )
    return width


#: What a tracer calls the states of NeMo's predictor; programs go by their places.
_STATES, _NEXT = ("states.1", "states.2"), ("states", "states.3")


def nemo_predictor(model: onnx.ModelProto, states: StatePair) -> int:
    """Give a predictor NeMo's interface, in place; returns how wide its rows are."""
    names, (width, is_column) = Names(PREDICTOR), _predicted(model)
    made, read = names.ours("predicted"), "outputs"
    give_interface(
        model,
        PREDICTOR,
        takes=(
            Declared.of("targets", "int32", "batch", 1),
            Declared.of("target_length", "int32", "batch"),
            *states.declared(_STATES),
        ),
        gives=(
            Declared.of(read, "float32", "batch", width, 1),
            Declared.of("prednet_lengths", "int32", "batch"),
            *states.declared(_NEXT),
        ),
        before=(
            Step("cast", ("targets",), (names.ours("tokens"),), type="int64"),
            *states.cut(names, _STATES),
        ),
        behind=(
            Step("identity", (made,), (read,))
            if is_column
            else Step("unsqueeze", (made,), (read,), (2,)),
            Step("identity", ("target_length",), ("prednet_lengths",)),
            *states.joined(names, _NEXT),
        ),
    )
    return width


def nemo_joiner(model: onnx.ModelProto, width: int, outputs: int) -> None:
    """Give a joiner NeMo's interface, in place; it takes one row of each for every hypothesis."""
    names, (read, is_column) = Names(JOINER), _predicted(model)
    turned, flat = names.between("turned"), names.between("flat")
    give_interface(
        model,
        JOINER,
        takes=(
            Declared.of("encoder_outputs", "float32", "batch", width, 1),
            Declared.of("decoder_outputs", "float32", "batch", read, 1),
        ),
        gives=(Declared.of("outputs", "float32", "batch", 1, 1, outputs),),
        before=(
            Step("transpose", ("encoder_outputs",), (turned,), (0, 2, 1)),
            Step("one_batch", (turned,), (names.ours("encoded"),)),
            Step("places", ("encoder_outputs",), (names.ours("frames"),), (0,)),
            Step("identity", ("decoder_outputs",), (names.ours("predicted"),))
            if is_column
            else Step("squeeze", ("decoder_outputs",), (names.ours("predicted"),), (2,)),
        ),
        behind=(
            Step("transpose", (names.ours("log_probs"),), (flat,), (1, 0, 2)),
            Step("unsqueeze", (flat,), ("outputs",), (1,)),
        ),
    )


_INPUT_STATES = ("input_states_1", "input_states_2")
_OUTPUT_STATES = ("output_states_1", "output_states_2")


def nemo_decoder_joint(model: onnx.ModelProto, states: StatePair, width: int, outputs: int) -> None:
    """Give predictor and joiner in one graph NeMo's interface, in place."""
    names = Names(DECODER)
    turned, flat = names.between("turned"), names.between("flat")
    give_interface(
        model,
        DECODER,
        takes=(
            Declared.of("encoder_outputs", "float32", "batch", width, 1),
            Declared.of("targets", "int32", "batch", 1),
            Declared.of("target_length", "int32", "batch"),
            *states.declared(_INPUT_STATES),
        ),
        gives=(
            Declared.of("outputs", "float32", "batch", 1, 1, outputs),
            Declared.of("prednet_lengths", "int32", "batch"),
            *states.declared(_OUTPUT_STATES),
        ),
        before=(
            Step("transpose", ("encoder_outputs",), (turned,), (0, 2, 1)),
            Step("one_batch", (turned,), (names.ours("encoded"),)),
            Step("places", ("encoder_outputs",), (names.ours("frames"),), (0,)),
            Step("cast", ("targets",), (names.ours("tokens"),), type="int64"),
            *states.cut(names, _INPUT_STATES),
        ),
        behind=(
            Step("transpose", (names.ours("log_probs"),), (flat,), (1, 0, 2)),
            Step("unsqueeze", (flat,), ("outputs",), (1,)),
            Step("identity", ("target_length",), ("prednet_lengths",)),
            *states.joined(names, _OUTPUT_STATES),
        ),
    )


def icefall_predictor(model: onnx.ModelProto, context: int) -> int:
    """Give a stateless predictor icefall's interface, in place; returns how wide its rows are."""
    names, (width, is_column) = Names(PREDICTOR), _predicted(model)
    made = names.ours("predicted")
    give_interface(
        model,
        PREDICTOR,
        takes=(Declared.of("y", "int64", "N", context),),
        gives=(Declared.of("decoder_out", "float32", "N", width),),
        before=(Step("identity", ("y",), (names.ours("tokens"),)),),
        behind=(
            Step("squeeze", (made,), ("decoder_out",), (2,))
            if is_column
            else Step("identity", (made,), ("decoder_out",)),
        ),
    )
    return width


def icefall_joiner(model: onnx.ModelProto, width: int, outputs: int) -> None:
    """Give a joiner icefall's interface, in place."""
    names, (read, is_column) = Names(JOINER), _predicted(model)
    give_interface(
        model,
        JOINER,
        takes=(
            Declared.of("encoder_out", "float32", "N", width),
            Declared.of("decoder_out", "float32", "N", read),
        ),
        gives=(Declared.of("logit", "float32", "N", outputs),),
        before=(
            Step("unsqueeze", ("encoder_out",), (names.ours("encoded"),), (0,)),
            Step("places", ("encoder_out",), (names.ours("frames"),), (0,)),
            Step("unsqueeze", ("decoder_out",), (names.ours("predicted"),), (2,))
            if is_column
            else Step("identity", ("decoder_out",), (names.ours("predicted"),)),
        ),
        behind=(Step("squeeze", (names.ours("log_probs"),), ("logit",), (0,)),),
    )


def in_one(predictor: onnx.ModelProto, joiner: onnx.ModelProto) -> onnx.ModelProto:
    """Both as one graph that gives what the joiner gives, and the states."""
    handed = "predicted"
    given = [value for value in joiner.graph.input if value.name != handed]
    outputs = [
        *joiner.graph.output,
        *(value for value in predictor.graph.output if value.name != handed),
    ]
    whole = onnx.ModelProto()
    whole.CopyFrom(predictor)
    made = {name for node in whole.graph.node for name in node.output}
    # What unpacks weights of both is in both.
    whole.graph.node.extend(node for node in joiner.graph.node if node.output[0] not in made)
    known = {tensor.name for tensor in whole.graph.initializer}
    whole.graph.initializer.extend(t for t in joiner.graph.initializer if t.name not in known)
    whole.graph.input.extend(given)
    del whole.graph.output[:]
    whole.graph.output.extend(outputs)
    return whole


def _width(model: onnx.ModelProto, name: str) -> int:
    sizes = output_sizes(model, name)
    if len(sizes) != 3 or not isinstance(sizes[2], int) or not sizes[2]:
        raise ModelError(f"its {name} is {sizes}, and how wide a row is must be known")
    return sizes[2]


def _predicted(model: onnx.ModelProto) -> tuple[int, bool]:
    """How wide what a predictor gives is, and whether it has an axis of one behind that."""
    sizes = output_sizes(model, "predicted")
    if len(sizes) not in (2, 3) or not isinstance(sizes[1], int) or not sizes[1]:
        raise ModelError(f"what its predictor gives is {sizes}, and how wide it is must be known")
    return sizes[1], len(sizes) == 3
