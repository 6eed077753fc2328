"""What a program loads, and what is made for it of an artifact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import onnx

from quantkit.audio.frontends import AnyFrontend
from quantkit.errors import ModelError
from quantkit.exporting.wrapping import wrap_again
from quantkit.graph.artifact import load_model
from quantkit.graph.info import ArtifactInfo, info_of
from quantkit.graph.joined import roles_of, split
from quantkit.graph.roles import GraphRole
from quantkit.graph.translating import set_kept, translations_of
from quantkit.graph.translation import Translations
from quantkit.tasks.names import CTC
from quantkit.text.labels import Labels


class Source:
    """An artifact that a folder is made of.

    Args:
        path: of the artifact; it is read once, and not changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def whole(self) -> onnx.ModelProto:
        """All graphs as one, with the inputs and outputs of an artifact."""
        model = load_model(self.path)
        if (found := translations_of(model)) is not None and found.kept:
            set_kept(model, kept=False)
        wrap_again(model)
        return model

    @cached_property
    def info(self) -> ArtifactInfo:
        """What it says about itself."""
        return info_of(self.whole, str(self.path))

    @cached_property
    def translations(self) -> Translations | None:
        """Between it and the published folder that it came from."""
        return translations_of(self.whole)

    @cached_property
    def roles(self) -> tuple[GraphRole, ...]:
        """Of its graphs, in the order of a run."""
        return roles_of(self.whole)

    @property
    def task(self) -> str:
        """Its task; artifacts of before without one are of CTC."""
        return self.info.task or CTC

    @property
    def labels(self) -> Labels:
        """Of its outputs.

        Raises:
            ModelError: it has none.
        """
        if self.info.labels is None:
            raise ModelError(f"{self.path} carries no labels")
        return self.info.labels

    @property
    def frontend(self) -> AnyFrontend:
        """What makes what it takes.

        Raises:
            ModelError: it has none.
        """
        if self.info.frontend is None:
            raise ModelError(f"{self.path} carries no front end")
        return self.info.frontend

    def parts(self) -> dict[str, onnx.ModelProto]:
        """Each graph alone by its role, as a copy without metadata."""
        found = split(self.whole)
        parts = {role.role: part for role, part in zip(self.roles, found, strict=True)}
        copies = {}
        for role, part in parts.items():
            copy = onnx.ModelProto()
            copy.CopyFrom(part)
            del copy.metadata_props[:]
            copies[role] = copy
        return copies


@dataclass(frozen=True)
class Written:
    """What a form wrote.

    Args:
        graphs: the ``.onnx`` files, the first one first.
        opening: lines of code that open the folder, whose path is in ``folder``.
        language: of these lines, as Markdown calls it.
        frontend_added: whether a front end was put into the model.
    """

    graphs: tuple[Path, ...]
    opening: str
    language: str = "python"
    frontend_added: bool = False


class Form(ABC):
    """One of the forms in which a program takes models."""

    #: For people, with what the program calls it.
    name: ClassVar[str]
    #: Tasks whose models can have it.
    tasks: ClassVar[frozenset[str]]

    @abstractmethod
    def why_not(self, source: Source) -> str:
        """Why a model of one of :attr:`tasks` cannot have it; empty where it can.

        A message such as "it hears Whisper's spectrogram".
        """

    @abstractmethod
    def write(self, source: Source, folder: Path) -> Written:
        """Write graphs, vocabulary and settings into an empty folder.

        Raises:
            ModelError: a graph lacks what the form needs.
            OutputError: the folder refuses.
        """


@dataclass(frozen=True)
class Profile:
    """A program, with the forms that it takes.

    Args:
        name: what ``--profile`` calls it.
        forms: the first that a model can have is written.
    """

    name: str
    forms: Sequence[Form]

    def form_for(self, source: Source) -> Form:
        """The form in which the program takes ``source``.

        Raises:
            ModelError: it takes no such model; the message says why.
        """
        reasons = []
        by_task: dict[str, list[Form]] = {}
        for form in self.forms:
            for task in form.tasks:
                by_task.setdefault(task, []).append(form)
        for form in by_task.get(source.task, ()):
            if not (reason := form.why_not(source)):
                return form
            reasons.append(f"not as {form.name}: {reason}")
        if not reasons:
            raise ModelError(
                f"{self.name} does not load a {source.task} model such as {source.path}; it loads "
                f"{', '.join(sorted(by_task))}"
            )
        raise ModelError(f"{self.name} does not load {source.path}, {'; '.join(reasons)}")
