"""Bundles: what an edge team receives, made by :func:`ship` and checked by :func:`verify`.

A single artifact is checked by :func:`verify_artifact`.
"""

from quantkit.bundles.bundle import ship
from quantkit.bundles.verify import verify
from quantkit.bundles.verify_artifact import verify_artifact

__all__ = ["ship", "verify", "verify_artifact"]
