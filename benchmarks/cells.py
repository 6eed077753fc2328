"""Studies of many cells (user × budget × method × …) that go on where they were killed.

A cell says what to measure, a row what was found; both are dataclasses of plain values. Every row
is appended to ``build/studies/<name>.jsonl`` as soon as it is there, under a hash of the cell and
of all that the row depends on besides. A second run computes what is missing: after a kill, after
cells were added, and, because the hash covers the inputs, after any of them changed.

::

    @dataclass(frozen=True)
    class Cell:
        method: str
        bits: int

    @dataclass(frozen=True)
    class Row:
        levenshtein: float

    study = Study("plan-methods", cells, Row, measure, inputs={"model": sha256_of(model)})
    results = study.run(jobs=2)
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import click

from quantkit.disk.files import sha256_of, write_text
from quantkit.errors import InputError, QuantkitError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
R = TypeVar("R", bound="DataclassInstance")
F = TypeVar("F", bound=Callable[..., Any])

#: Cells with their rows, or why there is none.
Outcomes = Generator[tuple[C, R | QuantkitError], None, None]

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "build" / "studies"

_PLAIN = (str, int, float, bool, type(None))
# How often a worker looks whether the process that started it is still there, in seconds.
_WATCH = 1.0


@dataclass(frozen=True)
class Study(Generic[C, R]):
    """A list of cells and how each is measured.

    Args:
        name: of the files under ``folder``.
        cells: all of one frozen type, each different; at least one.
        row: type of the rows.
        work: measures one cell. With several jobs it runs in other processes: it must be
            picklable, and loads what it needs on its first call there.
        inputs: whatever else the rows depend on, such as hashes of model, audio and code.
        folder: where results are kept.
    """

    name: str
    cells: Sequence[C]
    row: type[R]
    work: Callable[[C], R]
    inputs: Mapping[str, str]
    folder: Path = STUDIES

    @property
    def results_path(self) -> Path:
        """One JSON object a line, in the order in which cells were done."""
        return self.folder / f"{self.name}.jsonl"

    @property
    def table_path(self) -> Path:
        """The finished cells as one tidy table, in the order of :attr:`cells`."""
        return self.folder / f"{self.name}.tsv"

    def run(self, jobs: int = 1, only: Sequence[str] = ()) -> dict[C, R]:
        """Measure what is missing and renew the table.

        A cell that cannot be measured does not stop the others.

        Args:
            jobs: processes to work in.
            only: see :func:`chosen`; the other cells are left as they are.

        Returns:
            the rows of all cells that are done by now, in the order of :attr:`cells`.

        Raises:
            InputError: cells failed, at the end; ``only`` picks nothing, or ``jobs`` is no number
                of processes.
        """
        if jobs < 1:
            raise InputError(f"a study needs at least one job, not {jobs}")
        done = self.finished()
        missing = [cell for cell in chosen(self.cells, only) if cell not in done]
        _say(f"{self.name}: {len(done)} of {len(self.cells)} cells are done, {len(missing)} to do")
        failures: list[str] = []
        begin = time.monotonic()
        # Closed whatever happens, so that an interrupt does not wait for the cells that are left.
        with closing(self._measure(missing, jobs)) as outcomes:
            for count, (cell, outcome) in enumerate(outcomes, 1):
                spent = time.monotonic() - begin
                left = spent / count * (len(missing) - count)
                if isinstance(outcome, QuantkitError):
                    failures.append(f"{label(cell)}: {outcome}")
                    said = f"failed: {outcome}"
                else:
                    self._append(cell, outcome)
                    done[cell] = outcome
                    said = label(outcome)
                _say(f"[{count}/{len(missing)}, {left:.0f} s left] {label(cell)}: {said}")
        ordered = {cell: done[cell] for cell in self.cells if cell in done}
        write_text(self.table_path, self._table(ordered))
        if failures:
            raise InputError(f"{len(failures)} cells failed; the first: {failures[0]}")
        return ordered

    def finished(self) -> dict[C, R]:
        """The rows that earlier runs have left, of cells and inputs as they are now."""
        by_key = {self._key(cell): cell for cell in self.cells}
        found: dict[C, R] = {}
        for record in _records(self.results_path):
            cell = by_key.get(record.get("key", ""))
            if cell is not None:
                found[cell] = self.row(**record["row"])
        return found

    def _measure(self, cells: Sequence[C], jobs: int) -> Outcomes[C, R]:
        """The outcomes of ``cells``, as they are done."""
        attempt = _Attempt(self.work)
        if jobs == 1 or len(cells) < 2:
            yield from map(attempt, cells)
            return
        pool = ProcessPoolExecutor(
            min(jobs, len(cells)),
            # A forked process would inherit ONNX Runtime's threads, which do not survive that.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_parent,
        )
        try:
            for future in as_completed([pool.submit(attempt, cell) for cell in cells]):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _key(self, cell: C) -> str:
        content = {"cell": asdict(cell), "row": _columns(self.row), "inputs": dict(self.inputs)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _append(self, cell: C, row: R) -> None:
        record = {"key": self._key(cell), "cell": asdict(cell), "row": _plain(row)}
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.results_path.open("ab+") as stream:
            # A kill may have left half a line, which the next one must not continue.
            if stream.tell() and not _ends_a_line(self.results_path):
                stream.write(b"\n")
            stream.write(json.dumps(record).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _table(self, results: Mapping[C, R]) -> str:
        columns = [*_columns(type(self.cells[0])), *_columns(self.row)]
        lines = ["\t".join(columns)]
        for cell, row in results.items():
            lines.append("\t".join(map(_written, [*_plain(cell).values(), *_plain(row).values()])))
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Attempt(Generic[C, R]):
    """Measures a cell; an error that quantkit raises on purpose is its result."""

    work: Callable[[C], R]

    def __call__(self, cell: C) -> tuple[C, R | QuantkitError]:
        try:
            return cell, self.work(cell)
        except QuantkitError as error:
            return cell, error


def chosen(cells: Sequence[C], only: Sequence[str]) -> list[C]:
    """The cells that conditions pick.

    Args:
        only: ``field=value``, where the value may be a glob. Of several values for one field one
            must match, and every field must.

    Raises:
        InputError: a condition that is none, names an unknown field, or picks nothing.
    """
    wanted: dict[str, list[str]] = {}
    known = _columns(type(cells[0]))
    for condition in only:
        name, equals, value = condition.partition("=")
        if not equals or name not in known:
            raise InputError(f"{condition!r} is not FIELD=VALUE with a field of {', '.join(known)}")
        wanted.setdefault(name, []).append(value)
    picked = [
        cell
        for cell in cells
        if all(
            any(fnmatchcase(_written(getattr(cell, name)), value) for value in values)
            for name, values in wanted.items()
        )
    ]
    if not picked:
        raise InputError(f"no cell of the study has {' and '.join(only)}")
    return picked


def study_options(function: F) -> F:
    """``--jobs`` and ``--only``, for scripts that run a study."""
    jobs = click.option(
        "--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes."
    )
    only = click.option(
        "--only",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only the cells that have it; VALUE may be a glob. May be repeated.",
    )
    return jobs(only(function))


def code_digest(*paths: Path) -> str:
    """SHA-256 over Python files, and all those in folders: rows depend on the code, too."""
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


def label(item: DataclassInstance) -> str:
    """A cell or row in one line: its values that say something."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in asdict(item).items()
        if value not in (None, "")
    )


def _columns(kind: type[DataclassInstance]) -> list[str]:
    return [each.name for each in fields(kind)]


def _plain(item: DataclassInstance) -> dict[str, Any]:
    values = asdict(item)
    for name, value in values.items():
        if not isinstance(value, _PLAIN):
            raise InputError(f"{type(item).__name__}.{name} is no plain value: {value!r}")
    return values


def _written(value: Any) -> str:
    """A value as it stands in the table; what is None is empty."""
    return "" if value is None else " ".join(str(value).split())


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of results; a kill may have left half of one."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield cast(dict[str, Any], record)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _end_with_parent() -> None:
    """Let a worker end when the study was killed, instead of waiting for more cells forever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
