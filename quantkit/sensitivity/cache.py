"""Parts of an analysis that are done, kept by what they were made from.

A second run of the same analysis reads them all; one that was interrupted goes on where it was.
The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quantkit.disk.files import read_json, write_json
from quantkit.errors import FormatError, OutputError
from quantkit.version import __version__

#: Part of every key; raise it when the same inputs give other results than before.
ANALYSIS_VERSION = 4

_LOG = logging.getLogger(__name__)

_PART_SCHEMA = "quantkit.analysis-part/1"
_FOLDER_VARIABLE = "QUANTKIT_CACHE"


def default_cache_folder() -> Path | None:
    """``$QUANTKIT_CACHE``, or quantkit's folder in the place that the platform has for caches.

    None where the user has no home folder.
    """
    if named := os.environ.get(_FOLDER_VARIABLE):
        return Path(named)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "quantkit"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "quantkit"
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says to ignore a relative path.
    return (Path(named) if Path(named).is_absolute() else home / ".cache") / "quantkit"


class AnalysisCache:
    """JSON values by the name of a part, for one model, one set of clips and some settings.

    ::

        cache = AnalysisCache(folder, model_sha256=..., audio_sha256=..., settings={"bits": 4})
        value = cache.get("layer1.conv")
        if value is None:
            value = measure("layer1.conv")
            cache.put("layer1.conv", value)

    Each part is a file of its own that is replaced in one go: processes that analyse the same at
    the same time write the same files, and a crash leaves a part whole or out. A file that is
    damaged counts as missing.

    Args:
        folder: of all analyses; None keeps nothing.
        model_sha256, audio_sha256, settings: all that the parts depend on; settings as JSON.
        notify: is told, once, when the folder cannot be written; the analysis goes on without.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        model_sha256: str = "",
        audio_sha256: str = "",
        settings: Mapping[str, Any] | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        ingredients = {
            "version": ANALYSIS_VERSION,
            "quantkit": __version__,
            "model": model_sha256,
            "audio": audio_sha256,
            "settings": dict(settings or {}),
        }
        self._key = _digest(ingredients)
        self._folder = folder
        self._writable = [folder is not None]
        self._notify = notify

    def within(self, settings: Mapping[str, Any]) -> AnalysisCache:
        """The parts that depend on ``settings``, too."""
        narrower = AnalysisCache(self._folder, notify=self._notify)
        narrower._key = _digest({"within": self._key, "settings": dict(settings)})
        # Shared, so that a folder that cannot be written is spoken of once.
        narrower._writable = self._writable
        return narrower

    def get(self, part: str) -> Any | None:
        """What was put there, or None."""
        if self._folder is None:
            return None
        try:
            document = read_json(self._path(self._folder, part), _PART_SCHEMA)
            value = document["value"]
            intact = document["part"] == part and document["sha256"] == _digest(value)
        except (FormatError, KeyError):
            return None
        if not intact:
            return None
        _LOG.debug("%s: found in the cache", part)
        return value

    def put(self, part: str, value: Any) -> None:
        """Keep a JSON value that is not None; a folder that refuses is no error."""
        if self._folder is None or not self._writable[0]:
            return
        document = {"schema": _PART_SCHEMA, "part": part, "sha256": _digest(value), "value": value}
        try:
            write_json(self._path(self._folder, part), document)
        except OutputError as error:
            self._writable[0] = False
            if self._notify is not None:
                self._notify(f"{error}; going on without a cache")

    def _path(self, folder: Path, part: str) -> Path:
        return folder / "analysis" / self._key[:2] / self._key / f"{_digest(part)[:32]}.json"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
