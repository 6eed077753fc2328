"""What other installed packages add to quantkit: codecs, corpus layouts, families of models.

A package announces each under the name of an entry point, in its own ``pyproject.toml``::

    [project.entry-points."quantkit.codecs"]
    nibble = "quantkit_nibble:Nibble"

Installed packages are searched only when somebody asks for a name that quantkit itself does not
have, or for a list of names. A package that is broken costs one warning, which names it: what does
not need the package goes on. The names of quantkit's own parts cannot be taken.

See ``CONTRIBUTING.md`` for what each group expects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeGuard, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """Something that another package adds.

    Args:
        name: of its entry point.
        package: the distribution that it comes from, as it is called on a package index.
        value: what the entry point refers to.
    """

    name: str
    package: str
    value: T


@dataclass(frozen=True)
class PluginGroup(Generic[T]):
    """One kind of thing that packages can add.

    Args:
        name: the group of entry points, such as ``quantkit.codecs``.
        noun: one of them, for messages: ``codec``.
        expected: what an entry point must refer to, for messages.
        fits: whether an object is that.
        builtin: names that quantkit itself has.
    """

    name: str
    noun: str
    expected: str
    fits: Callable[[object], TypeGuard[T]]
    builtin: Collection[str]

    def names(self) -> tuple[str, ...]:
        """Names that packages add, sorted; those that turned out broken are left out."""
        entries = _entries(self.name)
        for name in sorted(entries.keys() & set(self.builtin)):
            _warn_once(
                f"package {_package(entries[name][0])} adds a {self.noun} called {name!r}, as one "
                "of quantkit's own is called; it is ignored"
            )
        free = entries.keys() - set(self.builtin)
        return tuple(sorted(n for n in free if (self.name, n) not in _broken))

    def find(self, name: str) -> Plugin[T] | None:
        """What a package adds under ``name``; None where there is none or it is broken."""
        if name in self.builtin or (self.name, name) in _broken:
            return None
        entries = _entries(self.name).get(name, ())
        if len(entries) > 1:
            packages = " and ".join(map(_package, entries))
            self._ignore(name, f"packages {packages} each add a {self.noun} called {name!r}")
            return None
        return self._loaded(entries[0]) if entries else None

    def all(self) -> Iterator[Plugin[T]]:
        """All that packages add and that works, sorted by name."""
        for name in self.names():
            if plugin := self.find(name):
                yield plugin

    def report(self, plugin: Plugin[T], error: Exception) -> None:
        """Warn that ``plugin`` failed while it was used, and do without it from here on."""
        described = self._described(plugin.name, plugin.package)
        self._ignore(plugin.name, f"{described} fails: {_reason(error)}")

    def _loaded(self, entry: EntryPoint) -> Plugin[T] | None:
        described = self._described(entry.name, _package(entry))
        try:
            value = _load(entry)
        # The module of another package may raise anything while it is imported.
        except Exception as error:
            self._ignore(entry.name, f"{described} cannot be loaded: {_reason(error)}")
            return None
        if not self.fits(value):
            self._ignore(entry.name, f"{described}: {entry.value} is not {self.expected}")
            return None
        return Plugin(entry.name, _package(entry), value)

    def _ignore(self, name: str, problem: str) -> None:
        _broken.add((self.name, name))
        _warn_once(f"{problem}; it is ignored")

    def _described(self, name: str, package: str) -> str:
        return f"{self.noun} {name!r} of package {package}"


#: Group and name of what could not be loaded in this process.
_broken: set[tuple[str, str]] = set()


def forget() -> None:
    """Search the installed packages anew the next time: for tests that install one."""
    _broken.clear()
    for remembered in (_entries, _load, _warn_once):
        remembered.cache_clear()


@cache
def _entries(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of all installed packages by name."""
    # Takes longer to import than most commands take without it.
    from importlib.metadata import distributions

    found: dict[str, dict[str, EntryPoint]] = {}
    for distribution in distributions():
        # Reading is cheap, and what other groups do wrong is none of our business.
        if group not in (distribution.read_text("entry_points.txt") or ""):
            continue
        try:
            entries = distribution.entry_points.select(group=group)
        # What a malformed list runs into is not specified.
        except Exception as error:
            _warn_once(
                f"the entry points of package {distribution.name} cannot be read and are ignored: "
                f"{_reason(error)}"
            )
            continue
        for entry in entries:
            # A package that lies on the path twice is imported from the first place.
            found.setdefault(entry.name, {}).setdefault(_package(entry), entry)
    return {name: tuple(by_package.values()) for name, by_package in found.items()}


@cache
def _load(entry: EntryPoint) -> object:
    return entry.load()


@cache
def _warn_once(message: str) -> None:
    _log.warning(message)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
