"""One case: an input, what is done with it, and whether that was right."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from quantkit.cli import main
from quantkit.errors import QuantkitError

T = TypeVar("T")

#: ``refused`` with an error of ours, or ``right``; anything else is a :class:`WrongResult`.
Answer = Literal["refused", "right"]

_LONGEST_MESSAGE = 1500
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class WrongResult(AssertionError):
    """The case failed; the message says how."""


class Refused(Exception):
    """quantkit refused the input with an error of its own, as it should."""


@dataclass(frozen=True)
class Case:
    """One case of a kind.

    Args:
        number: within its kind.
        seeds: folder of the unharmed inputs, which nothing may change.
        folder: of the case alone, empty at first; it is the working folder.
        random: of the case alone: the same number gives the same case.
    """

    number: int
    seeds: Path
    folder: Path
    random: random.Random


class Kind(Protocol):
    """A kind of input."""

    @property
    def name(self) -> str:
        """What it is called in the report."""
        ...

    @property
    def share(self) -> int:
        """Cases in a thousand."""
        ...

    def prepare(self, seeds: Path) -> None:
        """Make the unharmed inputs in a folder that other kinds use, too; made once in a run."""
        ...

    def run(self, case: Case) -> Answer:
        """Run one case.

        Raises:
            WrongResult: it failed.
            Refused: quantkit refused it.
            Exception: any other is a failure, too.
        """
        ...


@dataclass(frozen=True)
class Ran:
    """A command that was run to its end."""

    status: int
    output: str
    errors: str


def attempt(function: Callable[[], T]) -> T:
    """What ``function`` returns.

    Raises:
        Refused: an error of ours that says in one line what is wrong.
        WrongResult: one that does not.
    """
    try:
        with _silent_logs():
            return function()
    except QuantkitError as error:
        _require_message(str(error))
        raise Refused(str(error)) from None


def command(*arguments: object, may_fail: bool = True) -> Ran:
    """Run ``quantkit ARGUMENTS`` in this process.

    Args:
        may_fail: whether an exit code other than 0 is an answer.

    Raises:
        Refused: exit code 1 or 2 with one line.
        WrongResult: anything else but 0; or an exit code that must be 0.
    """
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    status: object = None
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
    ran = Ran(status if isinstance(status, int) else -1, _text_of(output), _text_of(errors))
    shown = " ".join(str(argument) for argument in arguments)[:300]
    if "Traceback (most recent" in ran.output + ran.errors:
        raise WrongResult(f"a traceback from: {shown}: {ran.errors[-600:]}")
    if ran.status == 0:
        return ran
    if ran.status not in (1, 2) or not may_fail:
        raise WrongResult(f"exit code {ran.status} from: {shown}: {ran.errors[-600:]}")
    said = [line for line in ran.errors.splitlines() if line.startswith("quantkit: ")]
    if not said and not (ran.status == 1 and ran.output.strip()):
        raise WrongResult(f"exit code {ran.status} without a reason from: {shown}: {ran.errors}")
    for line in said:
        _require_message(line)
    raise Refused(said[-1] if said else ran.output.strip())


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    content = stream.buffer
    assert isinstance(content, io.BytesIO)
    return content.getvalue().decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _silent_logs() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _require_message(message: str) -> None:
    if not message.strip():
        raise WrongResult("an error without a message")
    if len(message) > _LONGEST_MESSAGE:
        raise WrongResult(f"a message of {len(message)} characters: {message[:300]}…")
    if "quantkit: internal error" in message or "out of memory" in message:
        raise WrongResult(message)
    if _CONTROL.search(message):
        raise WrongResult(f"a message with control characters: {message!r}")
