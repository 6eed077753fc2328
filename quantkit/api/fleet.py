"""One artifact for each user and budget, from one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def fleet(
    users: PathLike,
    model: PathLike,
    budgets: Sequence[Budget],
    output: PathLike,
    *,
    by: By | None = None,
    only: Sequence[str] = (),
    selection: Selection | None = None,
    settings: PersonalizeSettings | None = None,
    keep_interface: bool | None = None,
    max_divergence: float | None = None,
    max_changed: float | None = None,
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
    crash it does what is missing. ``output`` gets ``artifacts/``, a record of each in ``jobs/``,
    and ``fleet.tsv``, ``fleet.json`` and ``fleet.html``.

    >>> import quantkit
    >>> made = quantkit.fleet(
    ...     "users.tsv", "float32.onnx", ["1.5MB", "3MB"], "fleet"
    ... )  # doctest: +SKIP
    >>> made.is_complete  # doctest: +SKIP
    True

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
        max_divergence, max_changed: what an artifact may differ from float32 on its user's clips,
            in nats, and as a share of the words; None: as it comes.
        limits: workers, their memory and time, and retries; None: a worker for each core.
        threads: cores of each worker.
        engine: that runs the jobs; None: processes on this machine.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what fails, and what is tried again.

    Raises:
        InputError: the table, a budget or a setting cannot be used; or another run is at work in
            the same folder.
        ModelError: ``model`` is damaged or quantized already.
        OutputError: the folder cannot be written, or no worker can begin.
        MissingDependencyError: a URL without fsspec.
    """
    place = str(users)
    asked = _budgets(budgets)
    settings = PersonalizeSettings(front=False) if settings is None else settings
    if settings.max_latency is not None:
        raise InputError(
            "a latency cannot be measured beside other workers: make such files one by one, with "
            "personalize"
        )
    _check_tolerances(max_divergence, max_changed)
    table = _users(place, by)
    wanted = chosen_users(table.users, only)
    target = str(output) if is_url(str(output)) else str(path_of(output, "the output"))
    if not is_url(target):
        check_place(Path(target), folder=True)
    with float_model(model, begin) as source:
        prepared = PreparedModel(source, keep_interface)
        setup = FleetSetup(
            source,
            target,
            tuple(asked),
            settings,
            selection or Selection(),
            ANALYSIS_CLIPS,
            keep_interface,
            threads,
        )
        begin(f"make {len(wanted)} × {len(asked)} artifacts of {model} in {target}")
        return run_fleet(
            setup,
            wanted,
            asked,
            engine or LocalEngine(limits or FleetLimits()),
            model=prepared.info.name or source.name,
            source_bytes=prepared.whole.size_bytes,
            tolerances=Tolerances(max_divergence, max_changed),
            warnings=_warnings(table),
            progress=progress,
            notify=notify,
        )


def fleet_jobs(
    users: PathLike,
    model: PathLike,
    budgets: Sequence[Budget],
    output: PathLike,
    *,
    by: By | None = None,
    only: Sequence[str] = (),
    selection: Selection | None = None,
    settings: PersonalizeSettings | None = None,
    keep_interface: bool | None = None,
) -> list[tuple[str, str, str]]:
    """User, budget, and what would be done: the name of the artifact, or why there can be none.

    Args, Raises: see :func:`fleet`.
    """
    asked = _budgets(budgets)
    settings = PersonalizeSettings(front=False) if settings is None else settings
    found = []
    with float_model(model) as source:
        setup = FleetSetup(
            source,
            str(output),
            tuple(asked),
            settings,
            selection or Selection(),
            ANALYSIS_CLIPS,
            keep_interface,
        )
        work = UserWork(setup)
        for user in chosen_users(_users(str(users), by).users, only):
            jobs = _jobs(work, user)
            found += [(user.name, asked[budget], what) for budget, what in jobs.items()]
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


def _budgets(budgets: Sequence[Budget]) -> dict[int, str]:
    """As they were written, by their bytes."""
    if isinstance(budgets, str) or not budgets:
        raise InputError("budgets are a list of sizes such as ['1.5MB', '3MB'], of at least one")
    found: dict[int, str] = {}
    for budget in budgets:
        size = budget_bytes(budget)
        if size in found:
            raise InputError(f"the budgets {found[size]} and {budget} are the same")
        found[size] = budget.strip() if isinstance(budget, str) else f"{size}B"
    return found


def _users(place: str, by: By | None) -> UserTable:
    if by is None:
        return read_users(place)
    if by not in BY:
        raise InputError(f"users are by {', '.join(BY)}, not by {by!r}")
    if is_url(place):
        raise InputError(f"{place}: a corpus whose column makes the users must be on this machine")
    return users_by(open_corpus(place), place, by)


def _check_tolerances(max_divergence: float | None, max_changed: float | None) -> None:
    for name, value in (("max_divergence", max_divergence), ("max_changed", max_changed)):
        if value is not None and not value >= 0:
            raise InputError(f"{name} must be 0 or more, not {value:g}")


def _warnings(table: UserTable) -> tuple[str, ...]:
    if not table.ignored:
        return ()
    return (f"Columns that mean nothing here: {', '.join(table.ignored)}.",)
