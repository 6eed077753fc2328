"""Whisper artifacts: clips in, text in any language out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import model_files, read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder.network import Network
from quantkit.runtime.encoder_decoder.opening import (
    open_network,
    require_any_length,
    require_readable_attention,
)
from quantkit.runtime.speech_model import Output, Segment, SpeechModel
from quantkit.runtime.whisper.cross_attention import CrossAttention, alignment_heads_of
from quantkit.runtime.whisper.cut_windows import window_of
from quantkit.runtime.whisper.timing import TokenTimer
from quantkit.runtime.whisper.windows import Listener
from quantkit.text.decoding import WHOLE, Decoding
from quantkit.text.scoring import WrittenTextScoring
from quantkit.text.whisper_vocabulary import TIMESTAMP_STEP, WhisperVocabulary
from quantkit.text.words import Piece, Word, words_of_pieces

#: An id; the frame at which its window begins; in that window, when it was said, in seconds, and
#: the natural logarithm of its probability, none of which are numbers where nobody asked.
TOKEN = np.dtype(
    [
        ("token", np.int64),
        ("window", np.int64),
        ("start", np.float64),
        ("end", np.float64),
        ("log_prob", np.float64),
    ]
)
_UNTIMED = (np.nan, np.nan, np.nan)

# Of the beam, where none is named.
_USUAL_WIDTH = 5
# Languages whose script divides no words by spaces, as Whisper calls them.
_UNSPACED = frozenset(("zh", "ja", "th", "lo", "my", "yue", "km"))


class WhisperModel(SpeechModel):
    """A Whisper that is ready to run.

    Args:
        info: of the encoder's file.
        decoding: how the text is searched for.
        attention: what times of words are found by; None: there are none.

    Raises:
        ModelError: the artifact has no vocabulary or front end of Whisper.
        InputError: a decoder, a language or a task that it has not.
    """

    def __init__(
        self,
        info: ArtifactInfo,
        network: Network,
        decoding: Decoding | None = None,
        attention: CrossAttention | None = None,
    ) -> None:
        super().__init__(info)
        decoding = decoding or Decoding()
        if decoding.decoder not in ("greedy", "beam") or decoding.language_model is not None:
            raise InputError("Whisper has decoders greedy and beam, and takes no language model")
        vocabulary = info.vocabulary
        if not isinstance(vocabulary, WhisperVocabulary) or not isinstance(
            info.frontend, WhisperFrontend
        ):
            raise ModelError("the model carries no vocabulary or front end of a Whisper")
        width = 1 if decoding.decoder == "greedy" else decoding.width or _USUAL_WIDTH
        if decoding.language or decoding.translate or decoding.timestamps:
            # What the model cannot do is refused before any audio is processed.
            known = next(iter(vocabulary.languages or ("en",)))
            vocabulary.prompt(
                decoding.language or known,
                translate=decoding.translate,
                timestamps=decoding.timestamps,
            )
        if not vocabulary.is_multilingual:
            decoding = replace(decoding, language="")
        if decoding.window is None:
            decoding = replace(decoding, window=window_of(info))
        self.vocabulary = vocabulary
        self.network = network
        timer = None if attention is None else TokenTimer(attention)
        self.listener = Listener(network, vocabulary, info.frontend, decoding, width, timer)

    @classmethod
    def load(
        cls,
        path: Path,
        threads: int = 1,
        *,
        check: bool = True,
        decoding: Decoding | None = None,
    ) -> WhisperModel:
        """Open the artifact at ``path``, an encoder, and the decoder beside it.

        Raises:
            ModelError: a file is missing or damaged, does not load, or is no Whisper.
        """
        info = read_info(path, check=check)
        if decoding is not None:
            _require_possible(info, decoding, path)
        network = open_network(path, threads, info)
        attention = None
        if decoding is not None and decoding.words:
            decoder = model_files(path)[1]
            attention = CrossAttention.load(decoder, alignment_heads_of(info), threads)
        return cls(info, network, decoding, attention)

    @property
    def scoring(self) -> WrittenTextScoring:
        """As people write."""
        return WrittenTextScoring()

    @property
    def decoder_in_words(self) -> str:
        """Search, task and fallback."""
        decoding, width = self.listener.decoding, self.listener.width
        words = "greedy" if width == 1 else f"beam, width {width}"
        words += ", translated" if decoding.translate else ""
        words += ", with timestamps" if decoding.timestamps else ""
        words += f", language {decoding.language}" if decoding.language else ""
        if decoding.window is not None and decoding.window < WHOLE:
            words += f", windows of the clip and {decoding.window:g} s"
        return words + ("" if len(decoding.temperatures) > 1 else ", no fallback")

    @property
    def takes_batches(self) -> bool:
        """Never: each text is as long as it is."""
        return False

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """For each clip the tokens of all windows, an array of :data:`TOKEN`.

        The first token of a window is that of its language, where the model knows several.
        """
        return [self._tokens(features) for features in batch]

    def _tokens(self, features: FloatArray) -> Output:
        languages = self.vocabulary.languages or {}
        rows: list[tuple[int, int, float, float, float]] = []
        for window in self.listener.windows(features):
            if window.language:
                rows.append((languages[window.language], window.start, *_UNTIMED))
            said = iter(window.said)
            for token in window.tokens:
                timed = None if token in self.vocabulary.times else next(said, None)
                rows.append(
                    (
                        token,
                        window.start,
                        *(_UNTIMED if timed is None else (timed.start, timed.end, timed.log_prob)),
                    )
                )
        return np.array(rows, TOKEN)

    def text_of(self, output: Output) -> str:
        """The text of all windows."""
        return self.vocabulary.decode(output["token"].tolist()).strip()

    def words_of(self, output: Output, seconds: float) -> tuple[Word, ...]:
        """By the attention of the decoder to the audio; right to about a tenth of a second."""
        frontend = self.listener.frontend
        said = output[~np.isnan(output["log_prob"])]
        contents = map(self.vocabulary.content, said["token"].tolist())
        offsets = map(frontend.seconds_of, said["window"].tolist())
        pieces = [
            Piece(content, offset + start, offset + end, log_prob)
            for content, offset, start, end, log_prob in zip(
                contents,
                offsets,
                said["start"].tolist(),
                said["end"].tolist(),
                said["log_prob"].tolist(),
                strict=True,
            )
        ]
        return words_of_pieces(pieces, spaced=self.language_of(output) not in _UNSPACED)

    def seconds_of(self, clip: FloatArray) -> float:
        """Without the silent window behind the clip."""
        frontend = self.listener.frontend
        return frontend.seconds_of(len(clip) - frontend.window_frames)

    def language_of(self, output: Output) -> str:
        """Code of the language of the first window; empty where the model knows only one."""
        return self.vocabulary.language_of(int(output["token"][0])) if len(output) else ""

    def segments_of(self, output: Output) -> tuple[Segment, ...]:
        """The segments with times; empty without timestamps."""
        first, times = self.vocabulary.timestamps, self.vocabulary.times
        segments: list[Segment] = []
        rows = zip(output["token"].tolist(), output["window"].tolist(), strict=True)
        for start, tokens in groupby(rows, key=lambda row: row[1]):
            offset = self.listener.frontend.seconds_of(start)
            begin: float | None = None
            text: list[int] = []
            # A text that is cut off at the end of its window ends there.
            for token in (*(row[0] for row in tokens), first + self._last_time):
                if token not in times:
                    text.append(token)
                    continue
                time = round(offset + (token - first) * TIMESTAMP_STEP, 2)
                if begin is not None and text:
                    segments.append(Segment(begin, time, self.vocabulary.decode(text).strip()))
                    begin = None
                else:
                    begin = time
                text = []
        return tuple(segments)

    @property
    def _last_time(self) -> int:
        return round(self.listener.frontend.window_seconds / TIMESTAMP_STEP)


def _require_possible(info: ArtifactInfo, decoding: Decoding, path: Path) -> None:
    """Refuse what a model that came from a published folder cannot do.

    Raises:
        InputError: shorter windows, which its encoder does not take; or times of words, whose
            attention is inside of a merged decoder.
    """
    if decoding.window is not None and decoding.window < WHOLE:
        require_any_length(info)
    if decoding.words:
        require_readable_attention(info, path)
