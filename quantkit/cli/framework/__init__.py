"""What all commands have in common: how options are read, checked, grouped and explained.

A command is declared with ``@click.command(cls=Command, ...)`` and the types of this package; the
rest follows from the declaration: outputs are checked before the work begins, an option that is
given twice is refused, ``--config``, ``--dump-config``, ``--dry-run``, ``--verbose`` and
``--quiet`` work, and ``--help`` shows what is required first.
"""

from quantkit.cli.framework.command import Command, is_given
from quantkit.cli.framework.dry_run import begin_work
from quantkit.cli.framework.numbers import NumberList
from quantkit.cli.framework.output import echo
from quantkit.cli.framework.parameters import Argument, CacheFolder, OutputFile, OutputFolder

__all__ = [
    "Argument",
    "CacheFolder",
    "Command",
    "NumberList",
    "OutputFile",
    "OutputFolder",
    "begin_work",
    "echo",
    "is_given",
]
