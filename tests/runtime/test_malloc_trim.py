"""Freed memory goes back to the system, and asking for it never fails."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from quantkit.runtime import malloc_trim as module


@pytest.fixture(autouse=True)
def _looked_up_anew() -> Iterator[None]:
    """The library is looked up once in a process."""
    module._glibc.cache_clear()
    yield
    module._glibc.cache_clear()


class Library:
    """A C library that counts how often it was asked, and for how much it may keep."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def malloc_trim(self, keep: int) -> int:
        self.kept.append(keep)
        return 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    return library


def test_the_c_library_is_asked_each_time_to_keep_nothing(library: Library) -> None:
    module.malloc_trim()
    module.malloc_trim()
    assert library.kept == [0, 0]


def test_other_systems_are_left_alone(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "darwin")
    module.malloc_trim()
    assert library.kept == []


def test_a_c_library_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    module.malloc_trim()
    assert module._glibc() is None
