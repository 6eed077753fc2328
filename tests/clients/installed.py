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

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "onnxruntime-node").is_dir(),
    reason="onnxruntime-node is not installed: make clients",
)

needs_browser = pytest.mark.skipif(
    find_browser() is None or not (MODULES / "onnxruntime-web").is_dir(),
    reason="no Chromium, or onnxruntime-web is not installed: make clients",
)
