"""``model_config.yaml`` of NeMo, which lists the labels of a CTC model without its blank."""

from __future__ import annotations

from typing import Any

from quantkit.errors import InputError, MissingDependencyError
from quantkit.text.label_files.table import LabelTable

# The CTC decoder of a hybrid model is its second one.
_PLACES = (("aux_ctc", "decoder", "vocabulary"), ("decoder", "vocabulary"), ("labels",))


def table_of_config(content: str, origin: str) -> LabelTable | None:
    """The labels that a configuration lists; None if it lists none.

    Raises:
        InputError: it is no YAML, or a label is no text.
        MissingDependencyError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {origin} needs PyYAML: pip install pyyaml, or give --labels a file with one "
            "label a line"
        ) from error
    try:
        settings = yaml.load(content, Loader=_loader(yaml))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{origin} is not YAML: {reason}") from error
    for place in _PLACES:
        found: Any = settings
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, list) and found:
            if not all(isinstance(name, str) for name in found):
                raise InputError(f"{origin}: {'.'.join(place)} holds something that is no text")
            return LabelTable(tuple(found), origin, blank_is_last=True)
    return None


def _loader(yaml: Any) -> Any:
    """Scalars are text, whatever they look like: ``no`` and ``1`` are labels."""
    return yaml.BaseLoader
