"""Freed memory goes back to the system, and asking for it never fails."""

from __future__ import annotations

import ctypes

from quantkit.runtime import heap


def test_it_can_be_asked_at_any_time() -> None:
    heap.trim_heap()
    heap.trim_heap()


def test_other_systems_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: 1 / 0)
    heap._glibc.cache_clear()
    heap.trim_heap()
    heap._glibc.cache_clear()


def test_a_c_library_without_it_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    heap._glibc.cache_clear()
    heap.trim_heap()
    heap._glibc.cache_clear()
