"""The questions that a task answers, and the answers of most.

No module of a task imports ``onnx`` when it is imported: the process that measures a model's memory
asks tasks, too, and would count it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quantkit.errors import InputError, ModelError
from quantkit.graph.roles import MODEL

if TYPE_CHECKING:
    import onnx

    from quantkit.arrays import Array
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.audio.utterance import Corpus
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.speech_model import SpeechModel
    from quantkit.tasks.inputs import ClipInputs, Feed
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels
    from quantkit.text.scoring import TextScoring

#: What a model gives posteriors for, one after the other.
PosteriorUnit = Literal["frame", "token", "clip"]


@dataclass(frozen=True)
class Answer:
    """What a model gives for one clip.

    Args:
        clip: its name.
        posteriors: the labels are the last axis.
        text: what they say; None where that is not known.
    """

    clip: str
    posteriors: Array
    text: str | None


@dataclass(frozen=True)
class WindowTrial:
    """What windows that end behind a clip do, compared with whole ones.

    Args:
        silence: seconds behind the clip.
        divergence: of the posteriors from those of whole windows, in nats per token.
        share: of the frames of whole windows that is computed.
        clips: that were heard.
        again: those of them that are heard again as a whole.
    """

    silence: float
    divergence: float
    share: float
    clips: int
    again: int


@dataclass(frozen=True)
class Adoption:
    """How somebody's ``.onnx`` becomes an artifact of a task.

    Args:
        per_frame: whether its output has an axis of frames between those of the batch and of the
            labels.
        meaning: what :class:`~quantkit.graph.info.ArtifactInfo` says of a file of labels, the
            number of outputs, and the index of the CTC blank where one was named.
    """

    per_frame: bool
    meaning: Callable[[Path, int, int | None], Mapping[str, Any]]


class Task(ABC):
    """What a kind of model is for, and all that the steps of the pipeline must know of it."""

    #: In the metadata of its artifacts.
    name: ClassVar[str]

    # Which graphs it is made of.

    #: Roles of its graphs, in the order of a run; see :mod:`quantkit.graph.roles`.
    roles: ClassVar[tuple[str, ...]] = (MODEL,)

    def has_roles(self, roles: Sequence[str]) -> bool:
        """Whether a model of these graphs, in the order of a run, can be one of the task."""
        return tuple(roles) == self.roles

    def mark_graphs(self, whole: onnx.ModelProto) -> None:
        """Let the metadata of a whole float graph say how it is cut into graphs with roles.

        Who exports a model of several graphs calls it once. Saving, opening, planning and
        quantizing follow the metadata.

        Raises:
            ModelError: the task has several graphs, and no way to tell them apart.
        """
        if len(self.roles) > 1:
            raise ModelError(f"the task {self.name} does not define how its graphs are cut")

    # Which inputs a clip becomes.

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        """What makes feeds of clips.

        Args:
            model: the float model itself, where it is at hand.
        """
        from quantkit.tasks.corpus_inputs import CorpusInputs

        return CorpusInputs(info, model)

    def clip_shape(self, shape: Sequence[int | str | None], length: int) -> tuple[int, ...]:
        """Shape of the first graph's input for one clip.

        Args:
            shape: as the graph declares it.
            length: frames or samples of the clip.
        """
        return (1, length, *(int(size or 1) for size in shape[2:]))

    # By which posteriors two models are compared.

    #: What a divergence is the mean over.
    unit: ClassVar[PosteriorUnit]
    #: CalibrationData that an analysis hears if there are so many, whatever that costs.
    fewest_feeds: ClassVar[int] = 1
    #: Whether people want to know which of several graphs costs what.
    parts_differ: ClassVar[bool] = False
    #: Times the usual cost that an analysis may spend.
    patience: ClassVar[float] = 1.0

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """Name of each clip, and the posteriors that the finished model at ``path`` gives for it.

        Here, of all graphs in one run. A task whose model is run differently in use, such as token
        by token, runs it so.

        Args:
            output: name of the output that holds them; its last axis are the labels.

        Raises:
            ModelError: the model does not load, or fails on a clip.
        """
        from quantkit.graph.single_file import single_file
        from quantkit.runtime.session import create_session
        from quantkit.tasks.posteriors import session_posteriors

        with single_file(path) as whole:
            session = create_session(whole, threads=0)
        yield from session_posteriors(session, path, output, feeds)

    # Which texts two models are compared by.

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """What the float model says for one clip; None where the metadata do not tell.

        Args:
            posteriors: its own for this clip.
            inputs: those of the clip.
        """
        return None

    def says_nothing(self, text: str) -> bool:
        """Whether a text of :meth:`text_of` is that of a clip without speech."""
        return not text.strip()

    def scoring(self, info: ArtifactInfo) -> TextScoring | None:
        """How texts of :meth:`text_of` are compared; None where there are none."""
        return None

    def answers(
        self, path: Path, output: str, feeds: Iterable[Feed], info: ArtifactInfo
    ) -> Iterator[Answer]:
        """As :meth:`posteriors`, with the text that the model at ``path`` writes itself.

        Args:
            info: of the float model.
        """
        given: list[Mapping[str, Array]] = []

        def noted() -> Iterator[Feed]:
            for clip, inputs in feeds:
                given.append(inputs)
                yield clip, inputs

        for clip, values in self.posteriors(path, output, noted()):
            yield Answer(clip, values, self.text_of(info, values, given.pop(0)))

    # How much is computed for a clip.

    def with_window(self, info: ArtifactInfo, seconds: float) -> ArtifactInfo:
        """``info`` of an artifact that computes so much silence behind a clip.

        Raises:
            InputError: the task computes no more than the clip, or ``seconds`` are below 0.
        """
        raise InputError(
            f"--window is for a Whisper; a {self.name} model computes no more than the clip"
        )

    def try_windows(
        self, info: ArtifactInfo, model: Path, corpus: Corpus
    ) -> tuple[WindowTrial, ...]:
        """What shorter windows do to the clips of ``corpus``.

        Args:
            model: the float model.

        Raises:
            InputError: see :meth:`with_window`.
            ModelError: the model fails on a clip.
        """
        self.with_window(info, 0.0)
        return ()

    # How a clip runs and becomes text, and how texts are scored.

    @abstractmethod
    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> SpeechModel:
        """The artifact at ``path``, ready to run; its ``scoring`` says how texts are scored.

        Args:
            threads: inside one operator; 0 takes all cores.
            check: compare it with its checksum first.
            decoding: how outputs become text.

        Raises:
            ModelError: the file is damaged, does not load, or is no artifact of this task.
            InputError: a decoding that the task has not.
        """

    #: Fields of :class:`~quantkit.text.decoding.Decoding` that a model of it can follow; None: all.
    follows: ClassVar[frozenset[str] | None] = None

    @abstractmethod
    def can_run(self, info: ArtifactInfo) -> bool:
        """Whether the metadata say enough to make text of audio."""

    # How others become an artifact of it, and what a bundle of one needs.

    #: None: an ``.onnx`` of somebody else cannot become one.
    adoption: ClassVar[Adoption | None] = None
    #: Whether a bundle's graph takes waveforms, if its front end can be made of nodes.
    fuses_frontend: ClassVar[bool] = True

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """What a bundle of the artifact at ``model`` says of its outputs and inputs.

        Raises:
            ModelError: bundles are not made of such models, or it lacks one of the two.
        """
        raise ModelError(
            f"{model} is a {self.name} model, and this task does not say what a bundle of it "
            "holds; hand over its files as they are: they say themselves what they take, and "
            "`verify` checks them"
        )

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """How labels follow from what several graphs give, for ``decoding.json`` of a bundle.

        Its ``kind`` names the steps of the example; None: of one graph, as those of CTC.
        """
        return None


def labels_and_frontend(info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
    """Those in the metadata.

    Raises:
        ModelError: one of the two is missing.
    """
    if info.labels is None or info.frontend is None:
        lacking = "labels" if info.labels is None else "front end"
        raise ModelError(
            f"{model} carries no {lacking}, so a bundle could not tell how to use it; "
            "make it with `quantkit export`"
        )
    return info.labels, info.frontend
