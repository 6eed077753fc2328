"""What the graphs of somebody's folder take and give, beside what those of an artifact do.

Free of the ``onnx`` package, as edge programs are. The graphs of an artifact hand values to each
other by name, and a task knows these names. Those of a published folder have inputs and outputs of
their own. The metadata entry ``quantkit.translations`` of the first graph has a
:class:`Translation` for each: the steps that make their inputs of ours, and ours of their outputs.

While such a model is worked on, the steps are nodes around each graph
(:mod:`quantkit.graph.translating`). A file that takes the place of the original has none of them,
and :mod:`quantkit.runtime.translated_session` does the same in NumPy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Literal

from quantkit.errors import FormatError
from quantkit.graph.interface import Declared
from quantkit.json_dataclass import build

#: Metadata entry of the first graph; :class:`Translations` as JSON.
TRANSLATIONS_KEY = "quantkit.translations"
#: The same, in ``ArtifactInfo.extra``.
TRANSLATIONS = TRANSLATIONS_KEY.removeprefix("quantkit.")
#: What the names of nodes and values begin with that stand around somebody's graph.
PREFIX = "adopted."

Kind = Literal[
    "identity",
    "cast",
    "transpose",
    "squeeze",
    "unsqueeze",
    "rows",
    "equal",
    "split",
    "log_softmax",
    "concat",
    "one_batch",
    "size",
    "sum",
    "pad",
    "first",
    "take",
    "places",
]


@dataclass(frozen=True)
class Step:
    """A small change of form.

    - ``identity``, ``equal`` (of two values), ``log_softmax`` (over the last axis);
    - ``cast`` to ``type``, as NumPy calls it;
    - ``transpose``, ``squeeze`` and ``unsqueeze`` by the axes in ``numbers``;
    - ``rows``: of the first input, (rows, …), those that the second, (picks, 1), counts from 0;
    - ``one_batch``: (batch, rows, width) as (1, batch · rows, width);
    - ``split`` of the last axis into parts of the sizes in ``numbers``, and ``concat`` along it;
    - ``size`` of the axis in ``numbers``, (1,), and ``sum`` of two values;
    - ``pad``: zeros behind an axis, which has the size of the second of the ``numbers`` then;
    - ``first``: of the first input along an axis, as many as the second, (1,), says;
    - ``take``: of the first input along that axis, those that the second, (picks,), counts;
    - ``places``: 0, 1, 2, … as many as an axis is long.
    """

    kind: Kind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: tuple[int, ...] = ()
    type: str = ""


@dataclass(frozen=True)
class Translation:
    """Of one graph.

    Args:
        role: of the graph; see :class:`~quantkit.graph.roles.GraphRole`.
        file: what the program that the folder is for calls it.
        inputs, outputs: of the original, as it declares them, in its order.
        takes, gives: the same of the graph of an artifact.
        before: steps from what it takes to :meth:`inner` names of ``inputs``.
        behind: steps from inner names of ``outputs``, and from all that is known before the run,
            to what it gives.
        metadata: entries of the original that its program reads.
    """

    role: str
    file: str
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    takes: tuple[Declared, ...]
    gives: tuple[Declared, ...]
    before: tuple[Step, ...]
    behind: tuple[Step, ...]
    metadata: dict[str, str] = field(default_factory=dict)

    def inner(self, name: str) -> str:
        """What a value of the original is called beside those of other graphs.

        >>> Translation("joiner", "", (), (), (), (), (), ()).inner("logit")
        'joiner.logit'
        """
        return f"{self.role}.{name}"


@dataclass(frozen=True)
class Translations:
    """Of all graphs of a model, in the order of a run.

    Args:
        kept: whether the files themselves have the inputs and outputs of the originals; else nodes
            around the graphs translate.
        merged: whether the originals are an encoder and a merged decoder, which no steps translate;
            see :mod:`quantkit.graph.merged_decoder`.
        two_decoders: whether the originals are four graphs, of which an artifact has two; see
            :mod:`quantkit.graph.two_decoders`.
    """

    graphs: tuple[Translation, ...]
    kept: bool = False
    merged: bool = False
    two_decoders: bool = False

    def of(self, role: str) -> Translation:
        """That of the graph for ``role``.

        Raises:
            FormatError: there is none.
        """
        for each in self.graphs:
            if each.role == role:
                return each
        raise FormatError(f"it does not say what its {role} takes and gives")

    def to_json(self) -> str:
        """The metadata entry; what says nothing is left out."""
        rows = [
            {
                name: _short(value) if name in ("before", "behind") else value
                for name, value in asdict(each).items()
                if value
            }
            for each in self.graphs
        ]
        found = {"graphs": rows, "kept": self.kept}
        found |= {form: True for form in ("merged", "two_decoders") if getattr(self, form)}
        return json.dumps(found, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Translations:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is damaged.
        """
        where = "what the graphs of the original take and give"
        try:
            content = json.loads(text)
            for row in content["graphs"]:
                for each in fields(Translation):
                    row.setdefault(each.name, {} if each.name == "metadata" else [])
            found = build(cls, content, where)
            # An escape such as \ud800 is half a character, which no name in a file can hold.
            found.to_json().encode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError(f"{where} is not readable: {error}") from error
        return found


def translations_in(metadata: Mapping[str, str]) -> Translations | None:
    """The translations that the metadata of an artifact have; None where there are none.

    Args:
        metadata: entries of the file, or ``ArtifactInfo.extra``.

    Raises:
        FormatError: they are damaged.
    """
    text = metadata.get(TRANSLATIONS_KEY) or metadata.get(TRANSLATIONS)
    return _parsed(text) if text else None


@lru_cache
def _parsed(text: str) -> Translations:
    return Translations.from_json(text)


def _short(steps: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in step.items() if value} for step in steps]
