"""Whisper: an encoder for each window, and a decoder that writes it down token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantkit.errors import ModelError
from quantkit.tasks.base import Answer, WindowTrial
from quantkit.tasks.encoder_decoder import EncoderDecoderTask
from quantkit.tasks.names import WHISPER

if TYPE_CHECKING:
    from quantkit.arrays import Array
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.audio.utterance import Corpus
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.speech_model import SpeechModel
    from quantkit.tasks.inputs import ClipInputs, Feed
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels
    from quantkit.text.whisper_vocabulary import WhisperVocabulary

# Frames that the encoder hears at a time, however long the clip.
_WINDOW_FRAMES = 3_000


class WhisperTask(EncoderDecoderTask):
    """Two graphs: from ``features`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = WHISPER
    # The encoder takes windows, which the example cuts.
    fuses_frontend = False
    # A window of 30 seconds costs the same however little is said in it, and what the decoder does
    # depends on the language.
    fewest_feeds = 8
    follows = frozenset(
        (
            *("decoder", "width", "language", "translate", "timestamps", "temperatures", "seed"),
            *("window", "words"),
        )
    )

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        """Windows, and the text that the float model itself writes for them."""
        from quantkit.tasks.whisper_inputs import WhisperInputs

        return WhisperInputs(info, model)

    def clip_shape(self, shape: Sequence[int | str | None], length: int) -> tuple[int, ...]:
        """A window, with its bands before its frames."""
        bands, frames = shape[1], shape[2]
        # Some encoders take whole windows alone.
        return (
            1,
            int(bands or 1),
            frames if isinstance(frames, int) else min(length, _WINDOW_FRAMES),
        )

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """The text that the clip's inputs hold, which the float model wrote.

        None for a window whose text follows that of the window before: without that text, another
        model is asked for something else.
        """
        from quantkit.runtime.whisper.own_text import is_own_text
        from quantkit.text.whisper_vocabulary import WhisperVocabulary

        if not isinstance(info.vocabulary, WhisperVocabulary):
            return None
        tokens, positions = inputs["tokens"], inputs["positions"]
        if not is_own_text(info.vocabulary, posteriors, tokens, positions):
            return None
        tokens_of_text = tokens[0, int(positions[0]) + 1 :]
        written = tokens_of_text[tokens_of_text < info.vocabulary.end].tolist()
        text = info.vocabulary.decode(written)
        # Pieces without a character are no silence.
        return None if written and not text else text

    def answers(
        self, path: Path, output: str, feeds: Iterable[Feed], info: ArtifactInfo
    ) -> Iterator[Answer]:
        """With the text that it writes greedily, after the same prompt."""
        from quantkit.runtime.encoder_decoder.opening import open_network
        from quantkit.runtime.whisper.own_text import read_and_write
        from quantkit.text.whisper_vocabulary import WhisperVocabulary

        if not isinstance(info.vocabulary, WhisperVocabulary):
            yield from super().answers(path, output, feeds, info)
            return
        network = open_network(path, threads=0)
        for clip, inputs in feeds:
            log_probs, tokens = read_and_write(
                network,
                info.vocabulary,
                inputs["features"],
                inputs["tokens"],
                inputs["positions"],
            )
            yield Answer(clip, log_probs, info.vocabulary.decode(tokens))

    def with_window(self, info: ArtifactInfo, seconds: float) -> ArtifactInfo:
        """See :mod:`quantkit.runtime.whisper.cut_windows`."""
        from quantkit.runtime.encoder_decoder.opening import require_any_length
        from quantkit.runtime.whisper.cut_windows import with_window

        require_any_length(info)
        return with_window(info, seconds)

    def try_windows(
        self, info: ArtifactInfo, model: Path, corpus: Corpus
    ) -> tuple[WindowTrial, ...]:
        """See :mod:`quantkit.tasks.whisper_windows`."""
        from quantkit.runtime.encoder_decoder.opening import require_any_length
        from quantkit.tasks.whisper_windows import tried_windows

        require_any_length(info)
        return tried_windows(model, corpus, self.inputs(info, model).check)

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> SpeechModel:
        """See :meth:`~quantkit.runtime.whisper.model.WhisperModel.load`."""
        from quantkit.runtime.whisper.model import WhisperModel

        return WhisperModel.load(path, threads, check=check, decoding=decoding)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With its tokens and its front end."""
        return info.vocabulary is not None and info.frontend is not None

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its tokens as labels, of which those that steer the decoder are not printed."""
        from quantkit.text.whisper_vocabulary import WhisperVocabulary

        if not isinstance(info.vocabulary, WhisperVocabulary) or info.frontend is None:
            raise ModelError(f"{model} carries no vocabulary or front end of a Whisper")
        return printed_tokens(info.vocabulary), info.frontend

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """Prompts, what is never written, and how long a text may be."""
        from quantkit.runtime.whisper.search import LONGEST_TEXT
        from quantkit.text.whisper_vocabulary import WhisperVocabulary

        vocabulary = info.vocabulary
        if not isinstance(vocabulary, WhisperVocabulary):
            return None
        steering = {*range(vocabulary.end + 1, vocabulary.size)} - {*vocabulary.added}
        task = [vocabulary.transcribe] if vocabulary.is_multilingual else []
        return {
            "kind": self.name,
            "prompt": [vocabulary.start, *task, vocabulary.no_timestamps],
            "languages": dict(vocabulary.languages or {}),
            "language": vocabulary.language,
            "translate": vocabulary.translate,
            "end": vocabulary.end,
            "longest": LONGEST_TEXT,
            "suppressed": sorted({*vocabulary.suppressed, *steering}),
            "suppressed_first": [*vocabulary.suppressed_first],
        }


def whisper_vocabulary(info: ArtifactInfo, origin: str) -> WhisperVocabulary:
    """The vocabulary of a Whisper's artifact.

    Args:
        origin: names it in the message.

    Raises:
        ModelError: it has none.
    """
    from quantkit.text.whisper_vocabulary import WhisperVocabulary

    if not isinstance(info.vocabulary, WhisperVocabulary):
        raise ModelError(f"{origin} carries no vocabulary of a Whisper")
    return info.vocabulary


def printed_tokens(vocabulary: WhisperVocabulary) -> Labels:
    """A Whisper's tokens as labels; the end of a text stands for the blank."""
    from quantkit.text.byte_labels import spelled
    from quantkit.text.labels import Labels

    contents = [vocabulary.content(token) for token in range(vocabulary.size)]
    return Labels(
        tuple(map(spelled, contents)),
        vocabulary.end,
        silent=tuple(token for token, content in enumerate(contents) if not content),
        alike=True,
    )
