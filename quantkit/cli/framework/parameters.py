"""Arguments with a help text, and paths that say what a command does with them.

A plain ``click.Path`` is something that the command reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from quantkit.errors import InputError

#: The names of the files that are written into a folder, or None where one file is written.
FilesOf = Callable[[Mapping[str, Any]], Sequence[str] | None]


class Argument(click.Argument):
    """An argument that ``--help`` explains, which click's own cannot have.

    Args:
        help: one sentence.
        may_name_file: whether its text may be the path of something that is read; other things,
            such as a name on the hub, are not there as files.
    """

    def __init__(
        self,
        *arguments: Any,
        help: str = "",
        may_name_file: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        self.help = help
        self.may_name_file = may_name_file

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.make_metavar(ctx), self.help or ""


class OutputFile(click.Path):
    """A file that the command writes.

    A name without a suffix gets the suffix, so that ``-o small`` means ``small.onnx`` in every
    command; a name with another suffix is refused, because the next command would refuse it.

    Args:
        suffixes: that the name may have, such as ``.onnx``; of several, none is a default. None:
            any name will do.
        files_in_folder: for an option that names a folder in some cases; see :data:`FilesOf`.
        read_if_there: whether a file that is there already is read instead of written.
    """

    def __init__(
        self,
        *suffixes: str,
        files_in_folder: FilesOf | None = None,
        read_if_there: bool = False,
    ) -> None:
        super().__init__(path_type=Path)
        self.suffixes = suffixes
        self.files_in_folder = files_in_folder
        self.read_if_there = read_if_there

    def named(self, path: Path, option: str) -> Path:
        """``path`` with the suffix that it must have.

        Args:
            option: for the message.

        Raises:
            InputError: it has another.
        """
        if not self.suffixes or path.suffix in self.suffixes:
            return path
        if not path.suffix and len(self.suffixes) == 1:
            # What cannot be a file is named as it is in the message that follows.
            in_the_way = path.exists() and not path.is_file()
            return path if in_the_way else path.with_name(path.name + self.suffixes[0])
        wanted = " or ".join([", ".join(self.suffixes[:-1]), self.suffixes[-1]]).removeprefix(
            " or "
        )
        raise InputError(f"{option} takes a name that ends in {wanted}, not {path}")


class OutputFolder(click.Path):
    """A folder that the command writes files into.

    Args:
        files: their names, as far as they are known before.
    """

    def __init__(self, *files: str) -> None:
        super().__init__(path_type=Path)
        self.files = files


class CacheFolder(click.Path):
    """A folder that is neither input nor result: it may be deleted at any time."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)
