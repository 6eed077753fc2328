"""A folder with a transducer becomes an artifact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from quantkit.audio.frontends import AnyFrontend
from quantkit.disk.files import sha256_of
from quantkit.errors import ParityError
from quantkit.exporting.folders.found_graph import (
    difference,
    is_float,
    tolerance_of,
    translated_graphs,
)
from quantkit.exporting.parity import ParityCase, ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.joined import join, set_roles
from quantkit.graph.roles import GraphRole, State
from quantkit.graph.translation import TRANSLATIONS, Step, Translation, Translations
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
    models, steps = translated_graphs(found.files, found.translations)
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
    # What shape inference noted of the parts is not true of values with other names.
    del whole.graph.value_info[:]
    check = partial(_compared, found, tolerance_of(info))
    report = save_artifact(whole, info, destination, check)
    return replace(report, notes=tuple(steps))


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
