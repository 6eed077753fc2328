"""How a bench run measures."""

from __future__ import annotations

from dataclasses import dataclass, field

from quantkit.benchmarking.host import usable_cores
from quantkit.errors import InputError
from quantkit.runtime.interleaved import Effort
from quantkit.slices.by import By
from quantkit.text.decoding import Decoding

DEFAULT_BATCH_SIZES = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class BenchSettings:
    """How to measure; the defaults are those of the command line.

    Args:
        decoding: how outputs become text.
        normalization: what is made equal before texts are compared: ``nfkc``, ``basic``,
            ``published`` or ``none``; empty takes what the task has.
        split: of the corpus, one or several; empty takes its test split if there is one, ``all``
            everything.
        batch_sizes: for latency and for accuracy by batch size.
        threads: numbers of threads; 0 is all cores. Accuracy and memory use the first.
        filters: which clips of the corpus were chosen before, in words, for the record.
        added: what was added to all clips before, in words, for the record.
        limit: at most this many utterances, drawn at random; 0 takes all.
        sweep_utterances: accuracy by batch size uses at most this many; 0 skips it.
        effort: rounds per latency cell.
        seed: of every random choice.
        by: what clips are divided by; none: nothing.
        rare_words: whose errors are counted apart; None: those that are rare in the corpus.
    """

    decoding: Decoding = field(default_factory=lambda: Decoding("beam"))
    normalization: str = ""
    split: str | tuple[str, ...] = ""
    filters: tuple[str, ...] = ()
    added: str = ""
    batch_sizes: tuple[int, ...] = DEFAULT_BATCH_SIZES
    threads: tuple[int, ...] = (1, 0)
    limit: int = 0
    sweep_utterances: int = 64
    effort: Effort = field(default_factory=Effort)
    seed: int = 0
    by: tuple[By, ...] = ()
    rare_words: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise InputError("batch sizes must be whole numbers of at least 1")
        if not self.threads or min(self.threads) < 0:
            raise InputError("threads must be whole numbers; 0 takes all cores")
        if self.limit < 0 or self.sweep_utterances < 0:
            raise InputError("a number of utterances must not be negative")
        if self.seed < 0:
            raise InputError(f"a seed must be a whole number of at least 0, not {self.seed}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Distinct batch sizes in ascending order."""
        return tuple(sorted(set(self.batch_sizes)))

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """``threads`` with 0 resolved to the cores of this machine, each number once."""
        return tuple(dict.fromkeys(count or usable_cores() for count in self.threads))
