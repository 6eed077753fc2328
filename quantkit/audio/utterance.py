"""Utterances and corpora: who said what, in which file, and how to select clips."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantkit.arrays import FloatArray
from quantkit.audio.augmentation.alteration import Alteration
from quantkit.audio.decode import (
    MAX_SECONDS,
    AudioBytes,
    Source,
    audio_seconds,
)
from quantkit.audio.recording import WHOLE, Excerpt
from quantkit.errors import AudioError, CorpusError, InputError
from quantkit.printable import printable

_REASONS_SHOWN = 3


@dataclass(frozen=True)
class Utterance:
    """One clip: a file, or instead of ``path`` samples in memory, or features where a corpus ships
    nothing else.

    Args:
        path: the audio file, or ``None`` if the corpus has precomputed features.
        text: transcript, or ``None`` when unlabelled.
        speaker, gender, language, split: empty when unknown; gender is ``m`` or ``f``.
        seconds: duration; 0 when not known without opening the file.
        features: (frames, bands) float32, for corpora in the NumPy layout.
        name: unique in the corpus and the same on every machine: usually the relative path.
        waveform: (samples,) float32 in [-1, 1], of a clip in memory.
        sample_rate: of ``waveform``, in hertz.
        content: the audio file, where it lies in a table.
        excerpt: the part of the file that is meant.
        columns: what its table says of it besides, by the names of the columns.
        alteration: what is done to its audio before it is heard; None: nothing.
    """

    path: Path | None
    text: str | None = None
    speaker: str = ""
    gender: str = ""
    language: str = ""
    split: str = ""
    seconds: float = 0.0
    features: FloatArray | None = field(default=None, compare=False, repr=False)
    name: str = ""
    waveform: FloatArray | None = field(default=None, compare=False, repr=False)
    sample_rate: int = 0
    content: AudioBytes | None = field(default=None, compare=False, repr=False)
    excerpt: Excerpt = WHOLE
    columns: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    alteration: Alteration | None = None

    @property
    def identifier(self) -> str:
        """A name that is unique in its corpus."""
        return self.name or printable(self.path)

    @property
    def source(self) -> Source | None:
        """Where its audio is read from; None for a clip in memory, and for one of features only."""
        return self.content or self.path

    @property
    def needs_its_end(self) -> bool:
        """Whether a file that is cut off is of no use: its transcript says what the whole holds."""
        return self.text is not None

    @property
    def has_audio(self) -> bool:
        """Whether there is more than ready-made features."""
        return self.source is not None or self.waveform is not None

    @property
    def place(self) -> str:
        """Where it comes from, for messages: its file, else its name."""
        return self.identifier if self.path is None else printable(self.path)


@dataclass(frozen=True)
class Corpus:
    """The utterances of one folder, in a fixed order, and which clips were skipped and why.

    >>> corpus = Corpus("demo", (Utterance(None, "yes", speaker="ann"), Utterance(None, "no")))
    >>> [u.text for u in corpus.select(speaker="ann")]
    ['yes']

    Args:
        name: for messages and reports.
        utterances: at least one, if a loader made it.
        skipped: one ``path: reason`` for each clip that was skipped.
    """

    name: str
    utterances: tuple[Utterance, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def altered(self, alteration: Alteration) -> Corpus:
        """All utterances, each of which sounds otherwise.

        Raises:
            InputError: there is no audio, but features that are computed already.
        """
        if not any(each.has_audio for each in self.utterances):
            raise InputError(f"{self.name} holds features and no audio: nothing can be added to it")
        changed = tuple(replace(each, alteration=alteration) for each in self.utterances)
        return replace(self, utterances=changed)

    def none_usable(self, reasons: Sequence[str]) -> CorpusError:
        """The error to raise where not a single clip could be used.

        Args:
            reasons: why clips were left out, the first one first.
        """
        first = f"; the first: {reasons[0]}" if reasons else ""
        return CorpusError(f"{self.name}: none of {len(self)} clips is usable{first}")

    def select(
        self,
        *,
        split: str | Sequence[str] | None = None,
        speaker: str | Sequence[str] | None = None,
        gender: str | Sequence[str] | None = None,
        language: str | Sequence[str] | None = None,
        min_seconds: float = 0.0,
        max_seconds: float = float("inf"),
    ) -> Corpus:
        """The utterances that match every given condition, and of several values one of them.

        Unknown durations are read from the headers of the clips that match the other conditions.
        Clips with a broken header are then skipped.

        Raises:
            CorpusError: no utterance matches.
        """
        wanted = {"split": split, "speaker": speaker, "gender": gender, "language": language}
        conditions = {
            key: (value,) if isinstance(value, str) else tuple(value)
            for key, value in wanted.items()
            if value is not None
        }
        chosen = tuple(
            u
            for u in self.utterances
            if all(getattr(u, key) in values for key, values in conditions.items())
        )
        # Of several values, one that is misspelt would be missed by nobody.
        misspelt = any(
            len(values) > 1 and set(values) - set(self.values(key))
            for key, values in conditions.items()
        )
        if not chosen or misspelt:
            raise CorpusError(self._nothing_matches(conditions))
        selected = Corpus(self.name, chosen, self.skipped)
        if min_seconds <= 0.0 and max_seconds == float("inf"):
            return selected
        timed = selected.screened()
        within = tuple(u for u in timed if min_seconds <= u.seconds <= max_seconds)
        if not within:
            raise CorpusError(
                f"{self.name}: no utterance lasts between {min_seconds:g} and {max_seconds:g} s"
            )
        return Corpus(self.name, within, timed.skipped)

    def spoken_in(self, language: str) -> Corpus:
        """All utterances, with their language set to ``language``."""
        spoken = tuple(replace(utterance, language=language) for utterance in self.utterances)
        return Corpus(self.name, spoken, self.skipped)

    def part(self, split: str | Sequence[str], usually: str) -> Corpus:
        """The utterances of the splits that a user named, or of the usual one.

        Args:
            split: names of splits, ``all`` for every utterance, or empty for ``usually``, or
                every utterance where the corpus has no such split.
            usually: a split's name, such as ``test``.

        Raises:
            CorpusError: the corpus has no split of the given name.
        """
        named = (split,) if isinstance(split, str) else tuple(split)
        if "all" in named:
            return self
        if not any(named):
            return self.select(split=usually) if usually in self.values("split") else self
        return self.select(split=named)

    def sample(self, count: int, seed: int = 0) -> Corpus:
        """``count`` utterances drawn without replacement (all, if there are fewer), in order.

        The same corpus, count and seed give the same utterances on every machine.

        Raises:
            InputError: ``count`` is not positive.
        """
        if count < 1:
            raise InputError(f"cannot sample {count} utterances; ask for at least 1")
        if count >= len(self.utterances):
            return self
        chosen = sorted(random.Random(seed).sample(range(len(self.utterances)), count))
        return Corpus(self.name, tuple(self.utterances[i] for i in chosen), self.skipped)

    def screened(self, max_seconds: float = MAX_SECONDS) -> Corpus:
        """The same corpus with every duration known, from the clips' headers.

        Only clips without a known duration are opened. Those that cannot be read, are empty or
        longer than ``max_seconds`` are moved to ``skipped``.

        Raises:
            CorpusError: none is left.
        """
        kept: list[Utterance] = []
        skipped = list(self.skipped)
        for utterance in self.utterances:
            try:
                if utterance.seconds == 0.0 and utterance.source is not None:
                    seconds = audio_seconds(
                        utterance.source,
                        max_seconds,
                        utterance.excerpt,
                        complete=utterance.needs_its_end,
                    )
                    utterance = replace(utterance, seconds=seconds)
                elif utterance.seconds > max_seconds:
                    raise AudioError(
                        f"{utterance.identifier} lasts {utterance.seconds:.0f} s; "
                        f"the limit is {max_seconds:g} s"
                    )
            except AudioError as error:
                skipped.append(str(error))
            else:
                kept.append(utterance)
        return usable_corpus(self.name, kept, skipped)

    @property
    def labelled(self) -> bool:
        """Whether every utterance has a transcript."""
        return all(u.text is not None for u in self.utterances)

    @property
    def seconds(self) -> float:
        """Sum of the known durations."""
        return sum(u.seconds for u in self.utterances)

    def values(self, attribute: str) -> tuple[str, ...]:
        """The different values of ``split``, ``speaker``, ``gender`` or ``language``, sorted."""
        return tuple(sorted({str(getattr(u, attribute)) for u in self.utterances} - {""}))

    def _nothing_matches(self, conditions: dict[str, tuple[str, ...]]) -> str:
        wanted = ", ".join(f"{key}={'|'.join(values)}" for key, values in conditions.items())
        message = f"{self.name}: no utterance matches {wanted}"
        for key, values in conditions.items():
            known = self.values(key)
            if unknown := [value for value in values if value not in known]:
                message = f"{self.name}: no utterance matches {key}={unknown[0]}"
                shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
                return (
                    f"{message}; {key} is one of: {shown}"
                    if known
                    else f"{message}; {key} is not recorded"
                )
        return f"{message} together"


def usable_corpus(name: str, utterances: Sequence[Utterance], skipped: Sequence[str]) -> Corpus:
    """A corpus of at least one utterance.

    Raises:
        CorpusError: there is none; the message counts what was skipped and shows the first few.
    """
    if utterances:
        return Corpus(name, tuple(utterances), tuple(skipped))
    if not skipped:
        raise CorpusError(f"{name}: there is no clip in it")
    shown = "; ".join(skipped[:_REASONS_SHOWN])
    more = f"; and {len(skipped) - _REASONS_SHOWN} more" if len(skipped) > _REASONS_SHOWN else ""
    raise CorpusError(f"{name}: no usable clip, {len(skipped)} skipped: {shown}{more}")
