"""CTC and ASG models: clips in, per-frame label log-probabilities out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.clip_parts import clip_parts
from quantkit.runtime.long_clips import LongClips
from quantkit.runtime.padding import padded_batch, runs_of
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import Output, SpeechModel, require_rows, run_session
from quantkit.text.asg import asg_alignment, asg_loss
from quantkit.text.ctc import ctc_loss
from quantkit.text.ctc_alignment import ctc_alignment
from quantkit.text.decoders import Decoder, decoder_for
from quantkit.text.decoding import Decoding
from quantkit.text.normalize import normalized
from quantkit.text.scoring import LabelScoring
from quantkit.text.words import Word, words_of_labels


class Recognizer(SpeechModel):
    """A CTC or ASG artifact that is ready to run.

    ::

        recognizer = Recognizer.load(Path("model.onnx"))
        clip = recognizer.features(read_audio(Path("clip.wav")))
        (log_probs,) = recognizer.log_probs([clip])

    Args:
        decoding: how log-probabilities become text.
    """

    def __init__(
        self,
        info: ArtifactInfo,
        session: onnxruntime.InferenceSession,
        decoding: Decoding | None = None,
    ) -> None:
        super().__init__(info)
        self.session = session
        self.decoding = decoding or Decoding()

    @classmethod
    def load(
        cls,
        path: Path,
        threads: int = 1,
        *,
        check: bool = True,
        decoding: Decoding | None = None,
    ) -> Recognizer:
        """Open the artifact at ``path``.

        Args:
            threads: inside one operator; 0 takes all cores.
            check: compare it with its checksum first; see
                :func:`~quantkit.graph.artifact.read_info`.

        Raises:
            ModelError: the file is damaged, does not load, or does not have an artifact's inputs.
        """
        info = read_info(path, check=check)
        session = create_session(path, threads=threads)
        require_values(path, info, session, ("log_probs", "output_lengths"))
        return cls(info, session, decoding)

    @property
    def gives_posteriors(self) -> bool:
        """Always."""
        return True

    @property
    def scoring(self) -> LabelScoring:
        """In its alphabet."""
        return LabelScoring(self.labels)

    @property
    def decoder_in_words(self) -> str:
        """Decoder, width and language model."""
        return self.decoding.in_words

    @property
    def cutting_in_words(self) -> str:
        """By the tokenizer's scores or merges, or the longest piece first."""
        if not self.labels.are_pieces:
            return ""
        if self.labels.segmentation is None:
            return "their file does not say how words are cut, so the longest piece is taken first"
        return "words are cut as the model's tokenizer cuts them"

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """As :meth:`log_probs`."""
        return [*self.log_probs(batch)]

    def text_of(self, output: Output) -> str:
        """What the decoder makes of log-probabilities."""
        return self._decoder(output)

    def words_of(self, output: Output, seconds: float) -> tuple[Word, ...]:
        """On the likeliest path of frames that writes the text.

        A frame stands for as long as others, so times are right to a frame. A model may write a
        label in fewer frames than it is said in, and later.
        """
        if not self.decoding.words:
            return ()
        found, asg = self._decoder.labels_of(output), self.labels.asg
        if asg is None:
            spans = ctc_alignment(output, found, self.labels.blank)
        else:
            spans = asg_alignment(output, found, asg.matrix)
        if spans is None:
            return ()
        letters = [[label] for label in found] if asg is None else asg.letters(found)
        frame = seconds / len(output)
        return words_of_labels(
            self.labels,
            (
                (letter, span.first * frame, span.end * frame, span.log_prob)
                for written, span in zip(letters, spans, strict=True)
                for letter in written
            ),
        )

    def problem_of(self, output: Output) -> str:
        """Another shape than (frames, labels), or NaN."""
        labels = len(self.labels)
        if output.ndim != 2 or not len(output) or output.shape[1] != labels:
            return f"shape {output.shape}, not (frames, {labels})"
        return "" if np.isfinite(output).all() else "numbers that are not finite"

    def loss(self, output: Output, reference: str) -> float | None:
        """Of the model's criterion; None where the alphabet does not cover ``reference``, whatever
        its case."""
        text = normalized(reference, self.labels)
        if not self.labels.covers(text):
            return None
        target = self.labels.encode(text)
        if self.labels.asg is not None:
            return asg_loss(output, target, self.labels.asg.matrix)
        return ctc_loss(output, target, self.labels.blank)

    @property
    def _decoder(self) -> Decoder:
        return decoder_for(self.labels, self.decoding)

    def log_probs(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        """Run one padded batch; clips that last longer than 40 seconds alone and in windows, see
        :mod:`~quantkit.runtime.long_clips`.

        Args:
            batch: what :meth:`features` returned for each clip.

        Returns:
            for each clip (valid output frames, labels) natural log-probabilities.

        Raises:
            InputError: clips of the wrong shape.
            ModelError: ONNX Runtime fails on the batch.
        """
        if not batch:
            return []
        if self._in_windows is not None and any(map(self._is_long, batch)):
            short = iter(self.log_probs([clip for clip in batch if not self._is_long(clip)]))
            return [
                self._in_windows.rows([clip]) if self._is_long(clip) else next(short)
                for clip in batch
            ]
        return self._at_once(batch)

    def long_output(self, blocks: Iterator[FloatArray]) -> Output:
        """In windows; features of a front end are those of the whole clip."""
        if self._in_windows is None or not self.info.fused:
            return super().long_output(blocks)
        return self._in_windows.rows(blocks)

    @cached_property
    def _in_windows(self) -> LongClips | None:
        """None where nobody knows how long a step lasts."""
        if not self.steps_per_second:
            return None
        return LongClips(lambda clip: self._at_once([clip])[0], self.steps_per_second)

    @property
    def longest_input(self) -> int | None:
        """40 seconds, or a window with its context."""
        return None if self._in_windows is None else self._in_windows.longest

    def _is_long(self, clip: FloatArray) -> bool:
        return self._in_windows is not None and len(clip) > self._in_windows.longest

    def _at_once(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        """As :meth:`log_probs`; clips for a model of one length are cut."""
        parts = [clip_parts(clip, self.info) for clip in batch]
        rows = iter(self._rows([part for clip in parts for part in clip]))
        return [_joined([next(rows) for _ in clip]) for clip in parts]

    def _rows(self, parts: Sequence[FloatArray]) -> Iterator[FloatArray]:
        """As :meth:`log_probs`, of clips that the model takes in one run."""
        for group in runs_of(parts, self.session.get_inputs()[0].shape):
            yield from self._run(group)

    def _run(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        padded, lengths = self.pad(batch)
        name = "waveform" if self.info.fused else "features"
        log_probs, valid = run_session(
            self.session, ["log_probs", "output_lengths"], {name: padded, "lengths": lengths}
        )
        require_rows(log_probs, len(batch), 3, "log_probs")
        require_rows(valid, len(batch), 1, "output_lengths")
        if valid.dtype.kind not in "iu" or (valid < 0).any():
            raise ModelError("the model's output output_lengths is no number of frames")
        return [rows[:count] for rows, count in zip(log_probs, valid, strict=True)]

    def pad(self, batch: Sequence[FloatArray]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """See :func:`~quantkit.runtime.padding.padded_batch`."""
        return padded_batch(batch, self.session.get_inputs()[0].shape[2:])


def _joined(parts: list[FloatArray]) -> FloatArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def require_values(
    path: Path,
    info: ArtifactInfo,
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
) -> None:
    """Refuse a model without the inputs and outputs of an artifact.

    Raises:
        ModelError: what it has instead.
    """
    found = {value.name for value in session.get_inputs()}
    made = {value.name for value in session.get_outputs()}
    if found != {"waveform" if info.fused else "features", "lengths"} or not {*outputs} <= made:
        raise ModelError(
            f"{path} is not a quantkit recogniser: it has inputs {sorted(found)} and outputs "
            f"{sorted(made)}; make one with `quantkit export`"
        )
