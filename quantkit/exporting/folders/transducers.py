"""A folder with a transducer becomes an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from quantkit.audio.frontends import AnyFrontend
from quantkit.conversion.convert import convert
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, ModelError, ParityError
from quantkit.exporting.parity import TOLERANCE, ParityCase, ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.exporting.wrapping import declared
from quantkit.graph.artifact import open_files
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.info import ArtifactInfo, info_of
from quantkit.graph.interface import Declared
from quantkit.graph.joined import add_prefix, join, set_roles
from quantkit.graph.layers import find_layers
from quantkit.graph.roles import GraphRole, State
from quantkit.graph.translating import translate
from quantkit.graph.translation import TRANSLATIONS, Step, Translation, Translations
from quantkit.graph.weight_holders import require_finite_weights
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.session import create_session
from quantkit.runtime.streaming.model import features_in_chunks, silence_of
from quantkit.runtime.streaming.settings import STREAMING, StreamingSettings
from quantkit.runtime.streaming.transducer import StreamingTransducerNetwork
from quantkit.runtime.transducer.network import TransducerNetwork
from quantkit.runtime.transducer.search import greedy_path
from quantkit.runtime.transducer.settings import TRANSDUCER, TransducerSettings
from quantkit.runtime.translated_session import TranslatedSession
from quantkit.tasks.names import STREAMING_TRANSDUCER as STREAMING_TASK
from quantkit.tasks.names import TRANSDUCER as TASK
from quantkit.text.labels import Labels
from quantkit.version import __version__

# Seconds of noise that artifact and original are compared on.
_SECONDS = (0.5, 1.3, 3.0)
# Of a model that others quantized: what differs in the last digit may be rounded to another level.
_TOLERANCE_ON_A_GRID = 0.1


@dataclass(frozen=True)
class FoundGraph:
    """One file of a folder.

    Args:
        file: the ``.onnx``.
        inputs, outputs: as it declares them.
        metadata: its entries.
    """

    file: Path
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, file: Path) -> FoundGraph:
        """What ``file`` says of itself.

        Raises:
            ModelError: it is damaged or missing.
        """
        model = open_files(file).graph
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        if info_of(model, str(file)).task:
            raise InputError(f"{file} is an artifact already, and no part of a folder")
        outputs = _with_sizes(model)
        return cls(file, declared(inputs, model.graph.input), declared(outputs, outputs), metadata)

    def input(self, *names: str) -> Declared:
        """The input with the first of these names that there is.

        Raises:
            ModelError: there is none, or it is of a type that is not taken.
        """
        return self._value(self.inputs, names, "inputs")

    def output(self, *names: str) -> Declared:
        """The output with the first of these names that there is.

        Raises:
            ModelError: as :meth:`input`.
        """
        return self._value(self.outputs, names, "outputs")

    def translation(
        self,
        role: str,
        takes: tuple[Declared, ...],
        gives: tuple[Declared, ...],
        before: tuple[Step, ...],
        behind: tuple[Step, ...],
    ) -> Translation:
        """Of this graph; outputs that no step reads are passed on under names of their own.

        Raises:
            ModelError: it takes more.
        """
        given = {name for step in before for name in step.outputs}
        known = [each.name for each in self.inputs if f"{role}.{each.name}" in given]
        if others := [each.name for each in self.inputs if each.name not in known]:
            caches = (
                "; of models with caches, transducers of icefall and CTC models are taken"
                if any("cache" in name for name in others)
                else ""
            )
            raise ModelError(
                f"{self.file} takes {', '.join(others)} besides {', '.join(known)}, and what these "
                f"are is not known{caches}"
            )
        read = {name for step in behind for name in step.inputs}
        unread = [each for each in self.outputs if f"{role}.{each.name}" not in read]
        return Translation(
            role,
            self.file.name,
            self.inputs,
            self.outputs,
            takes,
            (*gives, *(replace(each, name=_passed_on(role, each)) for each in unread)),
            before,
            (
                *behind,
                *(
                    Step("identity", (f"{role}.{each.name}",), (_passed_on(role, each),))
                    for each in unread
                ),
            ),
            dict(self.metadata),
        )

    def size(self, value: Declared, axis: int) -> int | None:
        """Declared size of an axis of an input or output; None where it may be any."""
        size = (value.sizes or ())[axis] if value.sizes else None
        return size if isinstance(size, int) else None

    def _value(self, values: Sequence[Declared], names: Sequence[str], what: str) -> Declared:
        for name in names:
            for each in values:
                if each.name == name:
                    if each.type in ("float16", "bfloat16"):
                        raise ModelError(
                            f"{self.file} is a model of 16-bit floats ({name}): take the folder "
                            "of float32"
                        )
                    return each
        found = ", ".join(each.name for each in values) or "none"
        raise ModelError(f"{self.file} has the {what} {found}, and no {' or '.join(names)}")


@dataclass(frozen=True)
class FoundTransducer:
    """All that an artifact needs of a folder.

    Args:
        files: of the graphs, in the order of a run.
        translations: what each takes and gives.
        states: of the predictor, which is in the second graph.
        labels: what it writes with.
        frontend: what makes its features.
        settings: of its decoding.
        encoder_states: of an encoder that hears in chunks.
        chunks: how these follow one another; None for whole clips.
    """

    files: tuple[Path, ...]
    translations: tuple[Translation, ...]
    states: tuple[State, ...]
    labels: Labels
    frontend: AnyFrontend
    settings: TransducerSettings
    encoder_states: tuple[State, ...] = ()
    chunks: StreamingSettings | None = None

    @property
    def roles(self) -> tuple[GraphRole, ...]:
        """Of the graphs."""
        return tuple(
            GraphRole(
                each.role,
                tuple(value.name for value in each.gives),
                per_token=number > 0,
                states=(self.encoder_states, self.states, ())[min(number, 2)],
            )
            for number, each in enumerate(self.translations)
        )

    def network(self, graphs: GraphSessions) -> TransducerNetwork:
        """What runs ``graphs``."""
        if self.chunks is None:
            return TransducerNetwork(graphs, self.settings)
        return StreamingTransducerNetwork(
            graphs, self.settings, self.chunks, silence_of(self.frontend)
        )

    @property
    def extra(self) -> dict[str, str]:
        """Entries of the metadata."""
        found = {
            TRANSDUCER: self.settings.to_json(),
            TRANSLATIONS: Translations(self.translations).to_json(),
        }
        return found if self.chunks is None else {**found, STREAMING: self.chunks.to_json()}


def export_transducer(found: FoundTransducer, destination: Path, name: str) -> ParityReport:
    """Write the model as an artifact.

    Raises:
        ModelError: a graph is damaged, or quantized in a way that is not taken apart.
        ParityError: the artifact differs from the folder; nothing is written.
        OutputError: ``destination`` cannot be written.
    """
    models: list[onnx.ModelProto] = []
    steps: list[str] = []
    for file, translation in zip(found.files, found.translations, strict=True):
        model = open_files(file).graph
        steps += convert(model, file).steps
        name_all_nodes(model)
        require_finite_weights(model, file)
        add_prefix(model.graph, translation.inner(""))
        translate(model, translation)
        models.append(model)
    set_roles(models[0], found.roles)
    whole = join(models)
    digest = sha256_of(found.files[0])
    info = ArtifactInfo(
        labels=found.labels,
        frontend=found.frontend,
        task=TASK if found.chunks is None else STREAMING_TASK,
        plan=float_plan(whole, digest) if is_float(whole) else None,
        model_sha256=digest,
        version=__version__,
        name=name,
        extra=found.extra,
    )
    _drop_foreign_checks(whole)
    check = partial(_compared, found, tolerance_of(info))
    report = save_artifact(whole, info, destination, check)
    return replace(report, notes=tuple(steps))


def tolerance_of(info: ArtifactInfo) -> float:
    """How far an artifact of somebody's files may be from them."""
    return TOLERANCE if info.plan is not None else _TOLERANCE_ON_A_GRID


def is_float(model: onnx.ModelProto) -> bool:
    """Whether no layer is on a grid that somebody else laid."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    layers = find_layers(model)
    return all(types[layer.weight] == TensorProto.FLOAT for layer in layers)


def picked_rows(temporary: str, heard: str) -> tuple[Step, ...]:
    """``heard`` (points, width): the rows of ``encoded`` that ``frames`` counts.

    Args:
        temporary: what the names of values in between begin with.
    """
    steps, picks = f"{temporary}steps", f"{temporary}picks"
    return (
        Step("squeeze", ("encoded",), (steps,), (0,)),
        Step("unsqueeze", ("frames",), (picks,), (1,)),
        Step("rows", (steps, picks), (heard,)),
    )


def normalized(temporary: str, scores: str, labels: int, durations: int) -> tuple[Step, ...]:
    """``log_probs``: the logarithms of both distributions in ``scores``, side by side.

    Args:
        temporary: see :func:`picked_rows`.
        durations: 0: there are only labels.
    """
    if not durations:
        return (Step("log_softmax", (scores,), ("log_probs",)),)
    parts = (f"{temporary}label_scores", f"{temporary}duration_scores")
    logarithms = (f"{temporary}labels", f"{temporary}durations")
    return (
        Step("split", (scores,), parts, (labels, durations)),
        *(
            Step("log_softmax", (part,), (found,))
            for part, found in zip(parts, logarithms, strict=True)
        ),
        Step("concat", logarithms, ("log_probs",)),
    )


def _with_sizes(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The outputs with all sizes that follow from the graph.

    ONNX Runtime tells programs these, too, and sherpa-onnx looks at them; of a quantized graph they
    may not follow any more.
    """
    try:
        found = onnx.shape_inference.infer_shapes(model).graph.output
    except onnx.shape_inference.InferenceError:
        found = model.graph.output
    return [*found]


def _passed_on(role: str, value: Declared) -> str:
    return f"passed_on.{role}.{value.name}"


def _drop_foreign_checks(model: onnx.ModelProto) -> None:
    """What shapes inference noted of the parts is not true of values with other names."""
    del model.graph.value_info[:]


def _compared(found: FoundTransducer, tolerance: float, path: Path) -> ParityReport:
    """Does the artifact say what the folder's own files say, on noise?

    Raises:
        ParityError: it does not.
    """
    sessions = {
        each.role: TranslatedSession(create_session(file, threads=0), each)
        for file, each in zip(found.files, found.translations, strict=True)
    }
    original = found.network(GraphSessions(found.roles, sessions, {}))
    artifact = found.network(GraphSessions.load(path, threads=0))
    cases = tuple(
        _case(found, original, artifact, round(seconds * found.frontend.sample_rate))
        for seconds in _SECONDS
    )
    report = ParityReport(tolerance, cases, "the original")
    if not report.worst.difference <= tolerance:
        raise ParityError(
            f"{path.name} differs from the folder's own files: {report.worst.where}, beyond the "
            f"tolerance of {tolerance:g}"
        )
    return report


def _case(
    found: FoundTransducer, original: TransducerNetwork, artifact: TransducerNetwork, samples: int
) -> ParityCase:
    noise = 0.1 * np.random.default_rng(samples).standard_normal(samples)
    samples_of_noise = noise.astype(np.float32)
    features = (
        found.frontend(samples_of_noise)
        if found.chunks is None
        else features_in_chunks([samples_of_noise], found.frontend, found.chunks)
    )
    (expected,), (encoded,) = original.encode([features]), artifact.encode([features])
    where = f"{len(features)} frames of noise"
    if expected.shape != encoded.shape:
        words = f"{where}: the encoder gives shape {encoded.shape} instead of {expected.shape}"
        return ParityCase(1, len(features), float("inf"), words)
    differences = [difference(expected, encoded)]
    memory = artifact.begin()
    before = None
    for point in greedy_path(original, expected, len(found.labels), found.labels.blank):
        if before is not None and before[0].label != found.labels.blank:
            memory = artifact.after(before[1], before[0].label)
        step = artifact.step(encoded[point.frame], memory)
        differences.append(difference(point.step.log_probs, step.log_probs))
        before = point, step
    worst = max(differences)
    return ParityCase(1, len(features), worst, f"{where}: off by {worst:.3g}")


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest, relative where numbers are beyond 1; infinite where one is not finite."""
    apart = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    # NaN compares as false with anything; it is no agreement.
    return float(apart.max(initial=0.0)) if np.isfinite(apart).all() else float("inf")
