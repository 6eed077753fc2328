"""Freed memory goes back to the system, and asking for it never fails."""

from __future__ import annotations

import ctypes

from quantkit.runtime import malloc_trim as module


def test_it_can_be_asked_at_any_time() -> None:
    module.malloc_trim()
    module.malloc_trim()


def test_other_systems_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: 1 / 0)
    module._glibc.cache_clear()
    module.malloc_trim()
    module._glibc.cache_clear()


def test_a_c_library_without_it_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    module._glibc.cache_clear()
    module.malloc_trim()
    module._glibc.cache_clear()
