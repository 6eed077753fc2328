"""Parts of ``transformers`` models."""

from __future__ import annotations

from typing import Any, TypeAlias

#: A module of ``transformers``, whose parts are not typed.
Source: TypeAlias = Any
