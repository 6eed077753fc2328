"""A toy transducer (Graves 2012, "Sequence Transduction with Recurrent Neural Networks"): a task
that quantkit does not know, in one file.

Three graphs. The encoder hears a clip; the predictor reads the last two labels of the text so far;
the joiner says, for a frame and a text, which label follows, or that none does in this frame. The
predictor's state is the label before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.arrays import Array, FloatArray
from quantkit.audio.features import iter_features
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus
from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info, save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.joined import set_roles
from quantkit.graph.roles import BATCH, GraphRole, State
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.speech_model import Output, SpeechModel
from quantkit.tasks.base import Task
from quantkit.tasks.catalogue import register
from quantkit.tasks.inputs import ClipInputs, Feed, Portion
from quantkit.text.decoding import Decoding
from quantkit.text.labels import Labels
from quantkit.text.scoring import LabelScoring

LABELS = Labels(("_", "a", "b", "c", "d", "e"))
BLANK = 0
#: Labels that one frame may add to the text.
MOST_PER_FRAME = 2

ROLES = (
    GraphRole("encoder", ("encoded",)),
    GraphRole(
        "predictor",
        ("predicted", "last"),
        per_token=True,
        states=(State("previous", "last", (BATCH, 1), "int64", BLANK),),
    ),
    GraphRole("joiner", ("log_probs",), per_token=True),
)


@dataclass(frozen=True)
class Alignment:
    """How a text came about.

    Args:
        tokens: what the predictor read: a blank, then the labels.
        frames, places: for each run of the joiner, the frame, and how many labels there were.
    """

    tokens: tuple[int, ...]
    frames: tuple[int, ...]
    places: tuple[int, ...]


class TransducerTask(Task):
    """Text from labels, of which each frame adds none, one or several."""

    name = "toy-transducer"
    roles = tuple(role.role for role in ROLES)
    unit = "token"

    def mark_graphs(self, whole: onnx.ModelProto) -> None:
        set_roles(whole, ROLES)

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        return TransducerInputs(info, model)

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """Label by label, as a text is written."""
        graphs = GraphSessions.load(path, threads=0)
        for clip, inputs in feeds:
            encoded = graphs.run("encoder", inputs)["encoded"]
            states, predicted = graphs.states("predictor"), []
            for token in inputs["tokens"][0]:
                made = graphs.run("predictor", {"tokens": np.array([[token]]), **states})
                states = graphs.next_states("predictor", made)
                predicted.append(made["predicted"])
            rows = [
                graphs.run("joiner", joint(encoded, frame, predicted[place]))[output][0, 0]
                for frame, place in zip(inputs["frames"], inputs["places"], strict=True)
            ]
            yield clip, np.stack(rows)[None]

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> Transducer:
        return Transducer(read_info(path, check=check), GraphSessions.load(path, threads))

    def can_run(self, info: ArtifactInfo) -> bool:
        return info.labels is not None and info.frontend is not None


class TransducerInputs(ClipInputs):
    """A clip, and the path that the float model takes through it: only its points count."""

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        if self.model is None or self.info.frontend is None:
            raise ModelError("a transducer is calibrated on the text that the float model writes")
        model = Transducer(self.info, GraphSessions.load(self.model))
        for utterance, features in iter_features(corpus, self.info.frontend, skipped):
            path = model.path(features)
            yield (
                utterance.identifier,
                {
                    "features": features[None],
                    "tokens": np.array([path.tokens]),
                    "frames": np.array(path.frames),
                    "places": np.array(path.places),
                    **model.graphs.states("predictor"),
                },
            )

    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        assert self.info.frontend is not None
        return Portion(1, self.info.frontend.seconds_of(inputs["features"].shape[1]))


class Transducer(SpeechModel):
    """Greedy search: the likeliest label of each frame, until it is the blank."""

    def __init__(self, info: ArtifactInfo, graphs: GraphSessions) -> None:
        super().__init__(info)
        self.graphs = graphs

    @property
    def scoring(self) -> LabelScoring:
        assert self.info.labels is not None
        return LabelScoring(self.info.labels)

    @property
    def takes_batches(self) -> bool:
        return False

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        return [np.array(self.path(features).tokens[1:], np.int64) for features in batch]

    def text_of(self, output: Output) -> str:
        return self.scoring.labels.decode(output.tolist())

    def path(self, features: FloatArray) -> Alignment:
        """The path through (frames, bands) features."""
        encoded = self.graphs.run("encoder", {"features": features[None]})["encoded"]
        made = self._read(BLANK, self.graphs.states("predictor"))
        tokens, frames, places = [BLANK], [], []
        for frame in range(encoded.shape[1]):
            for _ in range(MOST_PER_FRAME):
                frames.append(frame)
                places.append(len(tokens) - 1)
                row = self.graphs.run("joiner", joint(encoded, frame, made["predicted"]))
                label = int(row["log_probs"][0, 0].argmax())
                if label == BLANK:
                    break
                tokens.append(label)
                made = self._read(label, self.graphs.next_states("predictor", made))
        return Alignment(tuple(tokens), tuple(frames), tuple(places))

    def _read(self, token: int, states: Mapping[str, Array]) -> dict[str, Array]:
        return self.graphs.run("predictor", {"tokens": np.array([[token]]), **states})


def joint(encoded: Array, frame: int, predicted: Array) -> dict[str, Array]:
    """What the joiner takes for one frame and one text."""
    return {
        "encoded": encoded,
        "predicted": predicted,
        "frames": np.array([frame]),
        "places": np.array([0]),
    }


def whole_transducer(seed: int = 0, width: int = 96) -> onnx.ModelProto:
    """The whole graph with random weights."""
    random = np.random.default_rng(seed)
    labels = len(LABELS)

    def weight(*shape: int, gain: float = 1.0) -> np.ndarray:
        scale = gain / np.sqrt(np.prod(shape[1:] if len(shape) == 3 else shape[:-1]))
        return (scale * random.standard_normal(shape)).astype(np.float32)

    constants = {
        "encoder.conv.weight": weight(width, 40, 3),
        "encoder.conv.bias": weight(1, width)[0],
        "encoder.projection.weight": weight(width, width, gain=2.0),
        "predictor.embedding.weight": random.standard_normal((labels, width)).astype(np.float32),
        "predictor.projection.weight": weight(2 * width, width),
        "joiner.output.weight": weight(width, labels, gain=2.0),
        # The blank is likely, or texts would be as long as they may be.
        "joiner.output.bias": 5 * np.eye(labels, dtype=np.float32)[BLANK],
        "first": np.array([0]),
        "second": np.array([1]),
        "end": np.array([-1]),
        "last_place": np.array([2**62]),
    }
    node = helper.make_node
    nodes = [
        node("Transpose", ["features"], ["bands"], "encoder.bands", perm=[0, 2, 1]),
        node(
            "Conv",
            ["bands", "encoder.conv.weight", "encoder.conv.bias"],
            ["convolved"],
            "encoder.conv",
            strides=[4],
            pads=[1, 1],
        ),
        node("Relu", ["convolved"], ["positive"], "encoder.relu"),
        node("Transpose", ["positive"], ["steps"], "encoder.steps", perm=[0, 2, 1]),
        node("MatMul", ["steps", "encoder.projection.weight"], ["encoded"], "encoder.projection"),
        node("Concat", ["previous", "tokens"], ["context"], "predictor.context", axis=1),
        node(
            "Gather",
            ["predictor.embedding.weight", "context"],
            ["embedded"],
            "predictor.embedding",
        ),
        node("Slice", ["embedded", "first", "end", "second"], ["before"], "predictor.before"),
        node(
            "Slice", ["embedded", "second", "last_place", "second"], ["newest"], "predictor.newest"
        ),
        node("Concat", ["before", "newest"], ["both"], "predictor.both", axis=2),
        node("MatMul", ["both", "predictor.projection.weight"], ["mixed"], "predictor.projection"),
        node("Tanh", ["mixed"], ["predicted"], "predictor.tanh"),
        node("Slice", ["tokens", "end", "last_place", "second"], ["last"], "predictor.last"),
        node("Gather", ["encoded", "frames"], ["heard"], "joiner.heard", axis=1),
        node("Gather", ["predicted", "places"], ["read"], "joiner.read", axis=1),
        node("Add", ["heard", "read"], ["sum"], "joiner.sum"),
        node("Tanh", ["sum"], ["joined"], "joiner.tanh"),
        node("MatMul", ["joined", "joiner.output.weight"], ["scores"], "joiner.output"),
        node("Add", ["scores", "joiner.output.bias"], ["logits"], "joiner.bias"),
        node("LogSoftmax", ["logits"], ["log_probs"], "joiner.log_probs", axis=-1),
    ]

    def value(name: str, shape: Sequence[int | str], whole: bool = False) -> onnx.ValueInfoProto:
        kind = TensorProto.INT64 if whole else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes,
        "transducer",
        [
            value("features", [1, "frames", 40]),
            value("tokens", [1, "tokens"], whole=True),
            value("previous", [1, 1], whole=True),
            value("frames", ["points"], whole=True),
            value("places", ["points"], whole=True),
        ],
        [
            value("log_probs", [1, "points", labels]),
            value("predicted", [1, "tokens", width]),
            value("last", [1, 1], whole=True),
            value("encoded", [1, "steps", width]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def write_transducer(path: Path, seed: int = 0, width: int = 96) -> Path:
    """A float32 artifact of three files."""
    task = TransducerTask()
    whole = whole_transducer(seed, width)
    task.mark_graphs(whole)
    set_info(whole, ArtifactInfo(LABELS, Frontend(), task=task.name, name="toy"))
    save_model(whole, path)
    return path


register(TransducerTask())
