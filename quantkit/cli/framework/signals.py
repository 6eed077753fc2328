"""SIGTERM and SIGHUP end a command as Ctrl-C does: temporary files go, results stay whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from quantkit.disk.temporary import remove_abandoned, remove_all_of_this_process

# Python acts on a signal between two of its own instructions, and one call into native code can
# take minutes. Whoever sent the signal waits for ten seconds at least, by custom.
_PATIENCE_SECONDS = 5.0
#: Added to the number of a signal, this is the exit code of what it ended.
EXIT_CODE_BASE = 128


class EndedBySignal(BaseException):
    """A signal asked the command to end; no ``except Exception`` may stop that.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def in_words(number: int) -> str:
    """What a command that a signal has ended says."""
    if number == signal.SIGINT:
        return "interrupted"
    return f"ended by {signal.Signals(number).name}"


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise :class:`EndedBySignal` inside the block when the process is asked to end.

    If the block does not end soon after, temporary files are removed and the process exits. A
    signal that was ignored before, as with ``nohup``, is ignored still; a second one kills.
    """
    if threading.current_thread() is not threading.main_thread():
        # Handlers belong to the main thread, and so to the program that runs this in another.
        yield
        return
    numbers = [
        getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
    ]
    before = {
        number: handler
        for number in numbers
        if (handler := signal.getsignal(number)) is signal.SIG_DFL
    }
    for number in before:
        signal.signal(number, _raise)
    try:
        with _watched([*before, signal.SIGINT]):
            yield
    except (EndedBySignal, KeyboardInterrupt):
        remove_all_of_this_process()
        # And what a process of ours left when it was killed.
        remove_abandoned()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise EndedBySignal(number)


@contextmanager
def _watched(numbers: list[int]) -> Iterator[None]:
    """Exit without Python's help if a signal was not acted on for some time."""
    if os.name != "posix":
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] in numbers and not over.wait(_PATIENCE_SECONDS):
                remove_all_of_this_process()
                with suppress(OSError):
                    os.write(2, f"quantkit: {in_words(number[0])}\n".encode())
                os._exit(EXIT_CODE_BASE + number[0])

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writing)
        watcher.join()
        os.close(reading)
