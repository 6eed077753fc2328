"""Transducers: clips in, labels and the frames that added them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantkit.arrays import FloatArray
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.speech_model import Output, SpeechModel
from quantkit.runtime.transducer.beam import WIDTH, best_path
from quantkit.runtime.transducer.network import TransducerNetwork
from quantkit.runtime.transducer.search import greedy_path, labels_of
from quantkit.runtime.transducer.settings import transducer_settings
from quantkit.text.decoding import Decoding
from quantkit.text.scoring import LabelScoring
from quantkit.text.words import Word, words_of_labels


class Transducer(SpeechModel):
    """A transducer's artifact that is ready to run.

    Args:
        network: its sessions.
        decoding: greedy, or a beam of a width.

    Raises:
        InputError: a decoding that it has not.
    """

    def __init__(
        self, info: ArtifactInfo, network: TransducerNetwork, decoding: Decoding | None = None
    ) -> None:
        super().__init__(info)
        decoding = decoding or Decoding()
        if decoding.decoder not in ("greedy", "beam"):
            raise InputError(
                f"a transducer is decoded by greedy or beam, not by {decoding.decoder!r}"
            )
        self.network = network
        self.words_wanted = decoding.words
        self.width = 1 if decoding.decoder == "greedy" else decoding.width or WIDTH

    @classmethod
    def load(
        cls,
        path: Path,
        threads: int = 1,
        *,
        check: bool = True,
        decoding: Decoding | None = None,
    ) -> Transducer:
        """Open the artifact at ``path``.

        Raises:
            ModelError: a file is missing or damaged, does not load, or is of no transducer.
        """
        info = read_info(path, check=check)
        settings = transducer_settings(info.extra)
        return cls(info, TransducerNetwork.load(path, settings, threads), decoding)

    @property
    def scoring(self) -> LabelScoring:
        """In its alphabet."""
        return LabelScoring(self.labels)

    @property
    def decoder_in_words(self) -> str:
        """Greedy, or the width of the beam."""
        return "greedy" if self.width == 1 else f"beam, width {self.width}"

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """The labels of each clip, an array of :data:`~quantkit.runtime.transducer.search.LABEL`.

        Clips of a batch are encoded together and written one after the other.
        """
        return [self.written(encoded) for encoded in self.network.encode(batch)]

    def written(self, encoded: FloatArray) -> Output:
        """The labels of one clip; see :meth:`outputs`.

        Args:
            encoded: (steps, width).
        """
        labels, blank = len(self.labels), self.labels.blank
        if self.width > 1:
            return best_path(self.network, encoded, labels, blank, self.width)
        return labels_of(greedy_path(self.network, encoded, labels, blank), blank)

    def text_of(self, output: Output) -> str:
        """The text of the labels."""
        return self.labels.decode(output["label"].tolist())

    def words_of(self, output: Output, seconds: float) -> tuple[Word, ...]:
        """By the frames of the encoder that added their labels.

        A label lasts for a frame; a transducer may add it later than it is said.
        """
        frontend, subsampling = self.info.frontend, self.network.settings.subsampling
        if not self.words_wanted or frontend is None or not subsampling:
            return ()
        frame = frontend.seconds_of(subsampling)
        return words_of_labels(
            self.labels,
            (
                (label, begin * frame, min(seconds, (begin + 1) * frame), log_prob)
                for label, begin, log_prob in output.tolist()
            ),
        )
