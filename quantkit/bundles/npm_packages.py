"""Where npm has installed what examples run with."""

from __future__ import annotations

import json
import os
from pathlib import Path


def find_package(name: str, node_modules: Path | None) -> Path | None:
    """Folder of an npm package: in ``node_modules``, or else in a folder of ``NODE_PATH``.

    The working folder is not looked at: what lies there may be anybody's.
    """
    given = [Path(part) for part in os.environ.get("NODE_PATH", "").split(os.pathsep) if part]
    places = given if node_modules is None else [node_modules]
    for place in places:
        if (place / name / "package.json").is_file():
            return (place / name).absolute()
    return None


def package_version(package: Path) -> str:
    """As ``package.json`` has it; ``unknown`` where it has none."""
    try:
        content = json.loads((package / "package.json").read_bytes())
    except (OSError, ValueError):
        return "unknown"
    found = content.get("version") if isinstance(content, dict) else None
    return found if isinstance(found, str) else "unknown"
