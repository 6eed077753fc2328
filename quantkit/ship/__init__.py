"""Bundles: what an edge team receives, made by :func:`ship` and checked by :func:`verify`."""

from quantkit.ship.bundle import ship
from quantkit.ship.verify import verify

__all__ = ["ship", "verify"]
