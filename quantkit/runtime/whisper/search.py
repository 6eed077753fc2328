"""The text of one window: greedy, sampled, or by beam search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray, IntArray
from quantkit.errors import ModelError
from quantkit.runtime.encoder_decoder.network import Memory, Network, States
from quantkit.runtime.whisper.cut_windows import repeats_itself
from quantkit.runtime.whisper.rules import Rules
from quantkit.text.whisper_vocabulary import DECODER_POSITIONS

#: Tokens of the longest text of a window.
LONGEST_TEXT = DECODER_POSITIONS // 2


@dataclass(frozen=True)
class Hypothesis:
    """A text and how likely it is.

    Args:
        tokens: without prompt and end.
        log_prob: natural logarithm of its probability, the end included.
    """

    tokens: tuple[int, ...]
    log_prob: float

    @property
    def mean_log_prob(self) -> float:
        """Per token, the end counted as one."""
        return self.log_prob / (len(self.tokens) + 1)


@dataclass(frozen=True)
class Window:
    """A window that was encoded and prompted.

    Args:
        first: (vocabulary,) log-probabilities of the first token of the text.
        memory: of the prompt.
        silence: probability of no speech.
        longest: tokens of the longest text, which is shorter behind a long prompt.
        cut: whether it ends behind the clip, so that a text is given up where it repeats itself.
    """

    network: Network
    rules: Rules
    encoded: States
    first: FloatArray
    memory: Memory
    silence: float
    longest: int
    cut: bool = False

    @classmethod
    def prompted(
        cls,
        network: Network,
        rules: Rules,
        encoded: States,
        prompt: Sequence[int],
        *,
        cut: bool = False,
    ) -> Window:
        """Let the decoder read the prompt.

        Args:
            encoded: see :meth:`~quantkit.runtime.encoder_decoder.network.Network.encode`.
            prompt: the last text where there is one, then start, language, task.
            cut: see above.

        Raises:
            ModelError: what the decoder says is not finite.
        """
        start = prompt.index(rules.vocabulary.start)
        positions = np.array([start, len(prompt) - 1])
        log_probs, memory = network.step(
            np.array([prompt]), encoded, network.empty_memory(), positions
        )
        # Only rules make a token impossible. Any search would find nonsense, and none would say so.
        if not np.isfinite(log_probs).all():
            raise ModelError("the decoder's log-probabilities are not finite: the model is broken")
        silence = float(np.exp(log_probs[0, 0, rules.vocabulary.no_speech]))
        longest = min(LONGEST_TEXT, DECODER_POSITIONS - len(prompt))
        return cls(network, rules, encoded, log_probs[0, 1], memory, silence, longest, cut)

    def step(self, tokens: IntArray, memory: Memory) -> tuple[FloatArray, Memory]:
        """(batch, vocabulary) after one more token of each hypothesis, (batch,)."""
        log_probs, memory = self.network.step(tokens[:, None], self.encoded, memory)
        return log_probs[:, 0], memory

    def has_no_end(self, text: Sequence[int]) -> bool:
        """Whether a text goes on for as long as one may, or is given up."""
        return len(text) >= self.longest or (self.cut and repeats_itself(text))


def greedy(window: Window) -> Hypothesis:
    """The likeliest token at each step."""
    return _one_by_one(window, lambda allowed: int(allowed.argmax()))


def sampled(window: Window, temperature: float, random: np.random.Generator) -> Hypothesis:
    """Each token drawn with its probability to the power of ``1 / temperature``.

    Args:
        temperature: above 0.
    """

    def draw(allowed: FloatArray) -> int:
        # The largest of log-probabilities with Gumbel noise is a draw from the distribution.
        return int((allowed / temperature + random.gumbel(size=allowed.shape)).argmax())

    return _one_by_one(window, draw)


def beam(window: Window, width: int) -> Hypothesis:
    """The likeliest text, per token, of those that a beam of ``width`` hypotheses finds.

    It ends when as many texts have ended.
    """
    end = window.rules.vocabulary.end
    texts: list[tuple[int, ...]] = [()]
    scores = np.zeros(1)
    log_probs, memory = window.first[None], window.memory
    ended: list[Hypothesis] = []
    while True:
        allowed = np.stack(
            [window.rules.apply(row, text) for row, text in zip(log_probs, texts, strict=True)]
        )
        # An ended text gives way to the next best, so one more than the width is needed of each.
        best = np.argpartition(-allowed, width, axis=1)[:, : width + 1]
        totals = scores[:, None] + np.take_along_axis(allowed, best, axis=1)
        rows: list[int] = []
        grown: list[tuple[int, ...]] = []
        kept: list[float] = []
        for place in np.argsort(-totals, axis=None):
            row, column = divmod(int(place), best.shape[1])
            score, token = float(totals[row, column]), int(best[row, column])
            if not np.isfinite(score) or len(rows) == width:
                break
            if token == end:
                if len(ended) < width:
                    ended.append(Hypothesis(texts[row], score))
                continue
            rows.append(row)
            grown.append((*texts[row], token))
            kept.append(score)
        texts, scores = grown, np.array(kept)
        if len(ended) >= width or not texts or window.has_no_end(texts[0]):
            break
        log_probs, memory = window.step(
            np.array([text[-1] for text in texts]), memory.take(np.array(rows))
        )
    if len(ended) < width:
        unfinished = (Hypothesis(*each) for each in zip(texts, scores.tolist(), strict=True))
        ended += [*unfinished][: width - len(ended)]
    return max(ended, key=lambda text: text.log_prob / max(1, len(text.tokens)))


def _one_by_one(window: Window, choose: Callable[[FloatArray], int]) -> Hypothesis:
    end = window.rules.vocabulary.end
    text: list[int] = []
    log_prob = 0.0
    log_probs, memory = window.first, window.memory
    while True:
        allowed = window.rules.apply(log_probs, text)
        token = choose(allowed)
        log_prob += float(allowed[token])
        if token == end:
            break
        text.append(token)
        if window.has_no_end(text):
            break
        rows, memory = window.step(np.array([token]), memory)
        log_probs = rows[0]
    return Hypothesis(tuple(text), log_prob)
