"""Where ``make clients`` has put what npm installs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quantkit.bundles.browser import find_browser

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = (
    Path(os.environ.get("QUANTKIT_CLIENTS", REPOSITORY / "build" / "clients")) / "node_modules"
)


def can_run_node() -> bool:
    """Whether Node is there, and ONNX Runtime for it."""
    return shutil.which("node") is not None and (MODULES / "onnxruntime-node").is_dir()


needs_node = pytest.mark.skipif(
    not can_run_node(),
    reason="onnxruntime-node is not installed: make clients",
)

needs_browser = pytest.mark.skipif(
    find_browser() is None or not (MODULES / "onnxruntime-web").is_dir(),
    reason="no Chromium, or onnxruntime-web is not installed: make clients",
)
