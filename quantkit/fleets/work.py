"""All jobs of one user, one after the other: listened to once, fitted for each budget.

Every engine runs this, in whatever process.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from quantkit.audio.corpora import is_table, open_corpus
from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus
from quantkit.errors import QuantkitError
from quantkit.fleets.content import audio_digest, job_name, model_digest, settings_digest
from quantkit.fleets.jobs import JobOutcome, JobRecord, failed
from quantkit.fleets.storage.places import is_url, open_storage, opened_corpus
from quantkit.fleets.store import ResultStore
from quantkit.fleets.users import FleetUser
from quantkit.graph.artifact import model_files
from quantkit.personalization.pipeline import Heard, PersonalizeSettings, fit, listen
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.malloc_trim import malloc_trim

_LOG = logging.getLogger(__name__)

# Split that clips are taken from, where a corpus has it.
_SPLIT = "calibration"


@dataclass(frozen=True)
class FleetSetup:
    """What all users of a fleet share.

    Args:
        model: the float32 ``.onnx``.
        output: folder or URL that artifacts go to.
        budgets: in bytes; each once.
        settings: how an artifact is made.
        selection: of each user's clips.
        clips: at most so many of a user, where the selection does not say.
        keep_interface: see :class:`~quantkit.quantization.prepared.PreparedModel`.
        threads: cores that a worker computes with.
    """

    model: Path
    output: str
    budgets: tuple[int, ...]
    settings: PersonalizeSettings = field(default_factory=lambda: PersonalizeSettings(front=False))
    selection: Selection = field(default_factory=Selection)
    clips: int = 32
    keep_interface: bool | None = None
    threads: int = 1


class UserWork:
    """Does the jobs of users of one fleet; holds what they share.

    ::

        work = UserWork(setup)
        for outcome in work.outcomes(user):
            ...

    Raises:
        QuantkitError: the model or the place of the results cannot be used.
    """

    def __init__(self, setup: FleetSetup) -> None:
        self.setup = setup
        self._prepared = PreparedModel(setup.model, setup.keep_interface)
        self._store = ResultStore(open_storage(setup.output))
        self._settings = settings_digest(setup.settings)
        # A corpus that many users are in is not read again for each.
        self._corpus: tuple[str, Corpus] | None = None

    @cached_property
    def _model(self) -> str:
        return model_digest(self._prepared)

    def jobs(self, user: FleetUser) -> dict[int, tuple[str, bool]]:
        """The user's artifacts by budget, and whether each is there; nothing is made.

        Raises:
            QuantkitError: the user's audio cannot be used.
        """
        with self._clips(user) as clips:
            named = self._named(audio_digest(clips))
        return {
            budget: (self._store.file_name(job), self._store.intact(job) is not None)
            for budget, job in named.items()
        }

    def outcomes(self, user: FleetUser) -> Iterator[JobOutcome]:
        """Do what is missing, and say what became of each budget; no bad input ends it."""
        told: set[int] = set()
        try:
            for outcome in self._outcomes(user):
                told.add(outcome.budget_bytes)
                yield outcome
        except QuantkitError as error:
            reason = str(error)
        except MemoryError:
            raise
        # The other users must not suffer from what nobody thought of.
        except Exception as error:
            _LOG.warning("user %s", user.name, exc_info=True)
            reason = f"internal error, {type(error).__name__}: {error}"
        else:
            return
        finally:
            self._forget()
        for budget in self.setup.budgets:
            if budget not in told:
                yield failed(user, budget, reason)

    def _outcomes(self, user: FleetUser) -> Iterator[JobOutcome]:
        with self._clips(user) as clips:
            audio = audio_digest(clips)
            # Of two users with the same clips, the second finds what the first has made.
            with self._store.storage.turn(audio):
                yield from self._made(user, clips, audio)

    def _made(self, user: FleetUser, clips: Corpus, audio: str) -> Iterator[JobOutcome]:
        missing: dict[int, str] = {}
        for budget, job in self._named(audio).items():
            if (record := self._store.intact(job)) is not None:
                yield JobOutcome(user.name, budget, "kept", record)
            else:
                missing[budget] = job
        if not missing:
            return
        storage = self._store.storage
        cache = storage.work_folder(audio)
        info, all_made = self._prepared.info, True
        try:
            heard = listen(self._prepared, clips, self.setup.settings, cache=cache)
            for budget, job in missing.items():
                try:
                    record = self._fitted(heard, budget, job, audio)
                except QuantkitError as error:
                    all_made = False
                    yield failed(user, budget, str(error))
                else:
                    yield JobOutcome(user.name, budget, "made", record)
        finally:
            # A window is chosen for each user anew.
            self._prepared.info = info
        if all_made and cache is not None:
            shutil.rmtree(cache, ignore_errors=True)

    def _fitted(self, heard: Heard, budget: int, job: str, audio: str) -> JobRecord:
        begin = time.perf_counter()
        store = self._store
        with store.storage.scratch() as folder:
            path = folder / store.file_name(job)
            made = fit(heard, path, budget)
            files = store.put_files(job, model_files(path))
        record = JobRecord.of(
            made,
            files,
            job=job,
            model=self._model,
            audio=audio,
            settings=self._settings,
            work_seconds=time.perf_counter() - begin,
        )
        store.put_record(record)
        return record

    def _named(self, audio: str) -> dict[int, str]:
        return {
            budget: job_name(self._model, audio, budget, self._settings)
            for budget in self.setup.budgets
        }

    @contextmanager
    def _clips(self, user: FleetUser) -> Iterator[Corpus]:
        """The clips that are heard of a user."""
        selection = user.narrowed(self.setup.selection)
        with self._opened(user.audio) as corpus:
            found = selection.filtered(corpus)
            yield selection.drawn(found, split=_SPLIT, clips=self.setup.clips)

    @contextmanager
    def _opened(self, place: str) -> Iterator[Corpus]:
        if is_url(place):
            with opened_corpus(place) as corpus:
                yield corpus
            return
        if self._corpus is None or self._corpus[0] != place:
            path = Path(place)
            if path.is_file() and not is_table(path):
                with opened_corpus(place) as corpus:
                    yield corpus
                return
            self._corpus = place, open_corpus(path)
        yield self._corpus[1]

    def _forget(self) -> None:
        """Memory for the next user, whose clips and weights are others."""
        self._prepared.cache.clear()
        malloc_trim()
