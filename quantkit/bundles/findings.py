"""One way in which a bundle is not what was shipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Problem = Literal[
    "missing", "extra", "size", "changed", "symlink", "special", "unreadable", "model", "signature"
]


@dataclass(frozen=True)
class Finding:
    """One difference between a bundle and its manifest or its signature."""

    problem: Problem
    path: str
    detail: str
