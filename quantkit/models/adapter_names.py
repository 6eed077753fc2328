"""Where the adapters of a model of many languages lie: ``adapter.<language>.safetensors``."""

from __future__ import annotations

import re
from pathlib import Path

from quantkit.models.pretrained_files import optional_json_object

#: What the name of a file ends with, the one that is preferred first.
ADAPTER_ENDINGS = ("safetensors", "bin")
#: A code that may be part of a file's name.
LANGUAGE = re.compile(r"[\w-]+")


def target_language(folder: Path) -> str:
    """The language that the tokenizer in ``folder`` is set to; empty where it is set to none."""
    named = optional_json_object(folder / "tokenizer_config.json").get("target_lang")
    return named if isinstance(named, str) else ""
