"""Parts of ``transformers`` models."""

from __future__ import annotations

from typing import Any, TypeAlias

#: A module of ``transformers``: which parts it has is not written down in types.
Source: TypeAlias = Any
