"""The class of every command; see the package's docstring."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource, iter_params_for_processing
from click.exceptions import Abort, Exit

from quantkit.cli.framework import help as help_page
from quantkit.cli.framework.common import NAMES, general_options, take_state, threads_option
from quantkit.cli.framework.compiler_cache import own_compiler_cache
from quantkit.cli.framework.config import dumped, read_config, without_alternatives
from quantkit.cli.framework.logs import logging_to_stderr
from quantkit.cli.framework.places import settle_outputs
from quantkit.cli.framework.repeats import refuse_repeats
from quantkit.disk.temporary import remove_abandoned
from quantkit.errors import QuantkitError
from quantkit.runtime.parallel import at_most_cores

_LOG = logging.getLogger(__name__)


class Command(click.Command):
    """A command whose declaration says enough to check, explain and configure it.

    Args:
        first: names of the parameters that most people need, in the order of the help; the other
            ones stand under "More options".
        one_of: names of options of which the command needs exactly one.
        alternatives: groups of options that exclude each other: one that the command line gives
            takes the place of those of a settings file.
        dry_run: whether the command calls :func:`~quantkit.cli.framework.begin_work`.
        threads: whether to add ``--threads``, which limits the cores that are used.
    """

    def __init__(
        self,
        *arguments: Any,
        first: Sequence[str] = (),
        one_of: Sequence[str] = (),
        alternatives: Sequence[Sequence[str]] = (),
        dry_run: bool = False,
        threads: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        for param in self.params:
            _name_number(param)
        self.first = tuple(first)
        self.one_of = tuple(one_of)
        self.alternatives = (*alternatives, *([self.one_of] if one_of else ()))
        if threads:
            self.params.append(threads_option())
        self.params += general_options(dry_run=dry_run)
        unknown = {*self.first, *(name for group in self.alternatives for name in group)}
        unknown -= {str(param.name) for param in self.params}
        if unknown:
            raise ValueError(f"{self.name} has no parameters {sorted(unknown)}")

    @property
    def settings(self) -> tuple[click.Option, ...]:
        """The options that a settings file may give."""
        return tuple(
            param
            for param in self.params
            if isinstance(param, click.Option) and param.name not in NAMES
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        names = {str(param.name) for param in order if isinstance(param, click.Option)}
        if not any("--help" in param.opts for param in order):
            refuse_repeats(order, ctx)
            if "config" in names:
                settings = read_config(Path(given["config"]), ctx, self.settings)
                ctx.default_map = without_alternatives(settings, names, self.alternatives)
            if "dump_config" in names:
                self._dump(ctx, given, order)
                ctx.exit(0)
        rest = super().parse_args(ctx, args)
        ctx.obj = take_state(ctx.params)
        settle_outputs(ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        with (
            logging_to_stderr(ctx.obj.verbosity),
            at_most_cores(ctx.obj.threads),
            own_compiler_cache(),
        ):
            remove_abandoned()
            try:
                return super().invoke(ctx)
            except (QuantkitError, click.ClickException, Exit, Abort):
                raise
            except Exception:
                # The user gets one line; `--verbose` shows this too.
                _LOG.info("where it happened", exc_info=True)
                raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return help_page.usage_pieces(ctx, self.get_params(ctx))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        help_page.write_text(self.help, formatter)

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: they stand among what is required."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        params = self.get_params(ctx)
        help_page.write_options(
            ctx,
            formatter,
            params,
            first=self.first,
            one_of=self.one_of,
            general=[param for param in params if param.name in NAMES or "--help" in param.opts],
        )

    def _dump(
        self, ctx: click.Context, given: dict[str, Any], order: list[click.Parameter]
    ) -> None:
        for param in iter_params_for_processing(order, self.get_params(ctx)):
            try:
                param.handle_parse_result(ctx, given, [])
            except click.MissingParameter:
                # What is missing may follow on the next command line.
                ctx.params[str(param.name)] = None
        values = [(option, ctx.params.get(str(option.name))) for option in self.settings]
        click.echo(dumped(str(self.name), values, ctx))


def _name_number(param: click.Parameter) -> None:
    """Call a number ``N`` in the help; click's own words are INTEGER RANGE."""
    if param.metavar is None and isinstance(
        param.type, click.types.IntParamType | click.types.FloatParamType
    ):
        param.metavar = "N"


def is_given(name: str) -> bool:
    """Whether the command line or the settings file of the current command names a parameter."""
    source = click.get_current_context().get_parameter_source(name)
    return source in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
