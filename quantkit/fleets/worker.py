"""A worker process: pickled users come in by standard input, outcomes go out by standard output.

Its parent is the only one that writes to it. When the parent goes, however it goes, the input ends,
and so does the worker at once.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from typing import Any, BinaryIO

from quantkit.disk.temporary import remove_all_of_this_process
from quantkit.errors import QuantkitError
from quantkit.fleets.work import FleetSetup, UserWork
from quantkit.runtime.parallel import at_most_cores

#: Exit code of a worker that ran out of memory and knows it.
OUT_OF_MEMORY = 86


def main() -> None:
    """Answer until the input ends."""
    # A Ctrl-C in a terminal is for all processes there; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, asked), daemon=True).start()
    try:
        _work(asked.get(), asked, answers)
    except MemoryError:
        remove_all_of_this_process()
        os._exit(OUT_OF_MEMORY)
    except BrokenPipeError:
        _leave()


def _work(setup: FleetSetup, asked: queue.SimpleQueue[Any], answers: BinaryIO) -> None:
    with at_most_cores(setup.threads):
        try:
            work = UserWork(setup)
        except QuantkitError as error:
            _say(answers, ("refused", error))
            return
        _say(answers, ("ready", None))
        while True:
            user = asked.get()
            for outcome in work.outcomes(user):
                _say(answers, ("outcome", outcome))
            _say(answers, ("done", None))


def _say(answers: BinaryIO, message: tuple[str, Any]) -> None:
    pickle.dump(message, answers)
    answers.flush()


def _read(stream: BinaryIO, asked: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            asked.put(pickle.load(stream))
        except (EOFError, OSError, pickle.UnpicklingError):
            _leave()


def _leave() -> None:
    remove_all_of_this_process()
    os._exit(0)


if __name__ == "__main__":
    main()
