"""Clips in, per-frame label log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from quantkit.audio.decode import read_audio
from quantkit.audio.features import load_features
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Utterance
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import ArtifactInfo, read_info
from quantkit.runtime.session import create_session
from quantkit.text.labels import Labels

FloatArray = npt.NDArray[np.float32]

#: The shortest input of an artifact: Wav2Letter's first convolution strides over two frames and
#: needs both. Shorter batches are padded to them.
MIN_FRAMES = 2


class Recognizer:
    """A CTC artifact that is ready to run.

    ::

        recognizer = Recognizer.load(Path("model.onnx"))
        clip = recognizer.features(read_audio(Path("clip.wav")))
        (log_probs,) = recognizer.log_probs([clip])
    """

    def __init__(self, info: ArtifactInfo, session: onnxruntime.InferenceSession) -> None:
        self.info = info
        self.session = session

    @classmethod
    def load(cls, path: Path, threads: int = 1, *, check: bool = True) -> Recognizer:
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
        found = {value.name for value in session.get_inputs()}
        wanted = {"waveform" if info.fused else "features", "lengths"}
        outputs = {value.name for value in session.get_outputs()}
        if found != wanted or not {"log_probs", "output_lengths"} <= outputs:
            raise ModelError(
                f"{path} is not a quantkit recogniser: it has inputs {sorted(found)} and outputs "
                f"{sorted(outputs)}; make one with `quantkit export`"
            )
        return cls(info, session)

    @property
    def labels(self) -> Labels:
        """The output alphabet.

        Raises:
            ModelError: the artifact carries none.
        """
        if self.info.labels is None:
            raise ModelError(
                "the model carries no labels (metadata `quantkit.labels`); "
                "make it with `quantkit export`"
            )
        return self.info.labels

    @property
    def frontend(self) -> Frontend:
        """Settings of the front end.

        Raises:
            ModelError: the artifact carries none.
        """
        if self.info.frontend is None:
            raise ModelError(
                "the model carries no front end (metadata `quantkit.frontend`); "
                "make it with `quantkit export`"
            )
        return self.info.frontend

    def features(self, clip: Utterance | FloatArray) -> FloatArray:
        """What this model takes as input for one clip.

        Args:
            clip: an utterance, or a (samples,) waveform at the front end's sample rate.

        Returns:
            (frames, bands), or (samples,) when the front end is fused into the model.

        Raises:
            AudioError: the clip cannot be read or is too short.
            InputError: ready-made features for a model that takes waveforms.
        """
        if not isinstance(clip, Utterance):
            return clip if self.info.fused else self.frontend(clip)
        if not self.info.fused:
            return load_features(clip, self.frontend)
        if clip.path is None:
            raise InputError(f"{clip.identifier}: has features only, but the model takes waveforms")
        return read_audio(clip.path, self.frontend.sample_rate)

    def log_probs(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        """Run one padded batch.

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
        padded, lengths = self.pad(batch)
        name = "waveform" if self.info.fused else "features"
        try:
            log_probs, valid = self.session.run(
                ["log_probs", "output_lengths"], {name: padded, "lengths": lengths}
            )
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            raise ModelError(f"the model fails on a batch of shape {padded.shape}: {error}") from (
                error
            )
        return [rows[:count] for rows, count in zip(log_probs, valid, strict=True)]

    def pad(self, batch: Sequence[FloatArray]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Zero-pad clips at their end into one array, (batch, longest, …), and their lengths.

        Raises:
            InputError: clips whose shape is not what the model takes.
        """
        shape = self.session.get_inputs()[0].shape[2:]
        for clip in batch:
            bands = clip.shape[1:]
            fits = len(bands) == len(shape) and all(
                not isinstance(want, int) or want == have
                for want, have in zip(shape, bands, strict=True)
            )
            if not fits:
                raise InputError(
                    f"a clip of shape {clip.shape} does not fit the model, which takes "
                    f"(length{''.join(f', {n}' for n in shape)}) per clip"
                )
        lengths = np.array([len(clip) for clip in batch], dtype=np.int64)
        longest = max(int(lengths.max()), MIN_FRAMES)
        padded = np.zeros((len(batch), longest, *batch[0].shape[1:]), dtype=np.float32)
        for row, clip in zip(padded, batch, strict=True):
            row[: len(clip)] = clip
        return padded, lengths
