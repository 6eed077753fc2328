"""Which utterances of a corpus a verb takes: :mod:`quantkit.audio.selection`."""

from __future__ import annotations

from quantkit.audio.selection import Names as Names
from quantkit.audio.selection import Selection as Selection
