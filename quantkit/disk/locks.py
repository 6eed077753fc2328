"""Locks that the system gives back when a process ends, however it ends."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

#: Whether this system has them.
HAVE_LOCKS = fcntl is not None


def try_lock(handle: int) -> bool | None:
    """Lock an open file or folder for this handle alone.

    Returns:
        whether it is locked now, or None where the file system has no locks.
    """
    if not HAVE_LOCKS:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
