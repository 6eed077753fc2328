"""One artifact for each user and budget, from one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from quantkit.api.begin import Begin, nothing
from quantkit.api.defaults import ANALYSIS_CLIPS
from quantkit.api.inputs import Budget, PathLike, budget_bytes, float_model, path_of
from quantkit.api.outputs import check_place
from quantkit.audio.corpora import open_corpus
from quantkit.audio.selection import Selection
from quantkit.errors import InputError, QuantkitError
from quantkit.fleets.engine import Engine, FleetLimits
from quantkit.fleets.local_engine import LocalEngine
from quantkit.fleets.result import FleetResult, Tolerances
from quantkit.fleets.run import run_fleet
from quantkit.fleets.storage.places import is_url
from quantkit.fleets.users import BY, By, FleetUser, UserTable, chosen_users, read_users, users_by
from quantkit.fleets.work import FleetSetup, UserWork
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.progress import Progress
from quantkit.quantization.prepared import PreparedModel


@dataclass(frozen=True)
class FleetRequest:
    """Which artifacts a fleet is to have.

    >>> FleetRequest("users.tsv", "float32.onnx", ["1.5MB", "3MB"], "fleet").sizes
    {1500000: '1.5MB', 3000000: '3MB'}

    Args:
        users: a table with the columns ``user`` and ``audio``, see :mod:`quantkit.fleets.users`; or
            a corpus, with ``by``.
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        budgets: what a file may take on disk: ``"20MB"``, ``"19.5MiB"``, or bytes.
        output: a folder, or a URL that fsspec knows.
        by: column of a corpus whose values are the users.
        only: names of users; none: all.
        selection: of each user's clips; what a row says has precedence. None: 32 of the split
            ``calibration``, where there is one.
        settings: see :func:`quantkit.personalize`; without a limit of latency, which nobody can
            measure beside other workers.
        keep_interface: see :func:`quantkit.quantize`.

    Raises:
        InputError: a budget or a setting cannot be used.
    """

    users: PathLike
    model: PathLike
    budgets: Sequence[Budget]
    output: PathLike
    by: By | None = None
    only: Sequence[str] = ()
    selection: Selection = field(default_factory=Selection)
    settings: PersonalizeSettings = field(default_factory=lambda: PersonalizeSettings(front=False))
    keep_interface: bool | None = None

    def __post_init__(self) -> None:
        if self.settings.max_latency is not None:
            raise InputError(
                "a latency cannot be measured beside other workers: make such files one by one, "
                "with personalize"
            )
        if self.by is not None and self.by not in BY:
            raise InputError(f"users are by {', '.join(BY)}, not by {self.by!r}")
        _ = self.sizes

    @cached_property
    def sizes(self) -> dict[int, str]:
        """The budgets as they were written, by their bytes."""
        if isinstance(self.budgets, str) or not self.budgets:
            raise InputError(
                "budgets are a list of sizes such as ['1.5MB', '3MB'], of at least one"
            )
        found: dict[int, str] = {}
        for budget in self.budgets:
            size = budget_bytes(budget)
            if size in found:
                raise InputError(f"the budgets {found[size]} and {budget} are the same")
            found[size] = budget.strip() if isinstance(budget, str) else f"{size}B"
        return found

    @property
    def target(self) -> str:
        """Where the artifacts go: a URL, or a folder of this machine."""
        place = str(self.output)
        return place if is_url(place) else str(path_of(self.output, "the output"))

    def table(self) -> UserTable:
        """All users.

        Raises:
            InputError: the table cannot be used.
        """
        place = str(self.users)
        if self.by is None:
            return read_users(place)
        if is_url(place):
            raise InputError(
                f"{place}: a corpus whose column makes the users must be on this machine"
            )
        return users_by(open_corpus(place), place, self.by)

    def setup(self, source: Path, threads: int = 1) -> FleetSetup:
        """What a worker is told.

        Args:
            source: the float32 ``.onnx``.
            threads: cores of each worker.
        """
        return FleetSetup(
            source,
            self.target,
            tuple(self.sizes),
            self.settings,
            self.selection,
            ANALYSIS_CLIPS,
            self.keep_interface,
            threads,
        )


def fleet(
    request: FleetRequest,
    *,
    tolerances: Tolerances | None = None,
    limits: FleetLimits | None = None,
    threads: int = 1,
    engine: Engine | None = None,
    begin: Begin = nothing,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> FleetResult:
    """Make an artifact for each user and budget; those that are there already are kept.

    Artifacts are called by what they are made of: the model, the audio, the budget, the settings
    and the versions of the libraries. So the same call does nothing a second time, and after a
    crash it does what is missing. The output gets ``artifacts/``, a record of each in ``jobs/``,
    and ``fleet.tsv``, ``fleet.json`` and ``fleet.html``.

    >>> import quantkit
    >>> wanted = quantkit.FleetRequest("users.tsv", "float32.onnx", ["1.5MB", "3MB"], "fleet")
    >>> quantkit.fleet(wanted).is_complete  # doctest: +SKIP
    True

    Args:
        request: which artifacts there are to be.
        tolerances: what an artifact may differ from float32 on its user's clips; None: as it comes.
        limits: workers, their memory and time, and retries; None: a worker for each core.
        threads: cores of each worker.
        engine: that runs the jobs; None: processes on this machine.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what fails, and what is tried again.

    Raises:
        InputError: the table cannot be used; or another run is at work in the same folder.
        ModelError: the model is damaged or quantized already.
        OutputError: the folder cannot be written, or no worker can begin.
        MissingDependencyError: a URL without fsspec.
    """
    table = request.table()
    wanted = chosen_users(table.users, request.only)
    if not is_url(request.target):
        check_place(Path(request.target), folder=True)
    with float_model(request.model, begin) as source:
        prepared = PreparedModel(source, request.keep_interface)
        many = f"{len(wanted)} × {len(request.sizes)}"
        begin(f"make {many} artifacts of {request.model} in {request.target}")
        return run_fleet(
            request.setup(source, threads),
            wanted,
            request.sizes,
            engine or LocalEngine(limits or FleetLimits()),
            model=prepared.info.name or source.name,
            source_bytes=prepared.whole.size_bytes,
            tolerances=tolerances or Tolerances(),
            warnings=_warnings(table),
            progress=progress,
            notify=notify,
        )


def fleet_jobs(request: FleetRequest) -> list[tuple[str, str, str]]:
    """User, budget, and what would be done: the name of the artifact, or why there can be none.

    Raises:
        InputError, ModelError, MissingDependencyError: see :func:`fleet`.
    """
    found = []
    with float_model(request.model) as source:
        work = UserWork(request.setup(source))
        for user in chosen_users(request.table().users, request.only):
            jobs = _jobs(work, user)
            found += [(user.name, request.sizes[budget], what) for budget, what in jobs.items()]
    return found


def _jobs(work: UserWork, user: FleetUser) -> dict[int, str]:
    problem = user.problem
    if not problem:
        try:
            return {
                budget: f"{'keep' if is_there else 'make'} {file}"
                for budget, (file, is_there) in work.jobs(user).items()
            }
        except QuantkitError as error:
            problem = str(error)
    return dict.fromkeys(work.setup.budgets, f"fail: {problem}")


def _warnings(table: UserTable) -> tuple[str, ...]:
    if not table.ignored:
        return ()
    return (f"Columns that mean nothing here: {', '.join(table.ignored)}.",)
