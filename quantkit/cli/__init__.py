"""The command line: ``quantkit COMMAND``. One module per command, each parses, calls, prints."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from quantkit.cli.framework.signals import EXIT_CODE_BASE, EndedBySignal, ended_by_signals, in_words
from quantkit.cli.streams import accept_any_text
from quantkit.errors import QuantkitError
from quantkit.printable import printable
from quantkit.report.formatting import shortened
from quantkit.version import __version__

# EX_SOFTWARE of sysexits.h.
_INTERNAL_ERROR = 70
_LONGEST_WORD = 500

# One line for each: `quantkit --help` and Tab need no more, and importing all takes seconds.
_COMMANDS = {
    "export": "A PyTorch checkpoint, or somebody's .onnx, to a float32 .onnx.",
    "analyze": "How much the precision of each layer matters, from audio.",
    "plan": "From a budget to the bits of every layer.",
    "quantize": "A float32 .onnx to a quantized one, by preset or plan.",
    "finetune": "A quantized .onnx that the float model has taught, from audio.",
    "personalize": "All of it in one step: the best file for one user and budget.",
    "fleet": "A file for each of many users and budgets, from one model.",
    "explain": "Which layers of a quantized .onnx cost accuracy, and in which words.",
    "bench": "Size, speed and accuracy of models, side by side.",
    "gate": "Fail when a model is worse than its baseline.",
    "transcribe": "Audio files to text.",
    "inspect": "What lies in an .onnx, layer by layer.",
    "unpack": "A packed .onnx to one that loads like plain int8.",
    "ship": "A bundle for a team that runs the model.",
    "verify": "Is a bundle or an artifact what was written?",
    "push": "A bundle or a folder to the Hugging Face hub.",
    "pull": "A bundle or a folder from the Hugging Face hub, checked.",
    "train": "Train a Wav2Letter or a keyword spotter.",
}


class _LazyGroup(click.Group):
    """Imports a command's module on use, so that commands do not load each other's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from quantkit.cli.framework.help import write_text

        write_text(self.help, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [
            CompletionItem(name, help=line)
            for name, line in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"quantkit.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quantkit")
def group() -> None:
    """From a PyTorch speech recogniser to the ONNX file that fits a user and a budget.

    \b
    Example:
      quantkit export models/wav2letter-en -o float32.onnx
      quantkit quantize float32.onnx --preset static-int8 --audio calibration_data -o int8.onnx
      quantkit bench float32.onnx int8.onnx --data calibration_data --report report
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a check failed, 2 bad input.

    70 is an error within quantkit, and 128 + n the end by signal n.
    """
    accept_any_text()
    try:
        with ended_by_signals():
            status = group.main(args=arguments, prog_name="quantkit", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(f"quantkit: {in_words(signal.SIGINT)}", err=True)
        sys.exit(EXIT_CODE_BASE + signal.SIGINT)
    except EndedBySignal as ended:
        click.echo(f"quantkit: {in_words(ended.number)}", err=True)
        sys.exit(EXIT_CODE_BASE + ended.number)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        named = "quantkit" if error.ctx is None else error.ctx.command_path
        reason = _shortened_words(error.format_message())
        click.echo(f"quantkit: {reason.removesuffix('.')}; see `{named} --help`", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except QuantkitError as error:
        click.echo(f"quantkit: {_one_line(error)}", err=True)
        sys.exit(error.exit_code)
    except MemoryError:
        click.echo("quantkit: out of memory", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"quantkit: {_one_line(error)}", err=True)
        sys.exit(2)
    except Exception as error:
        what = f"{type(error).__name__}: {_one_line(error)}"
        click.echo(
            f"quantkit: internal error, {what}; please report it with what --verbose prints",
            err=True,
        )
        sys.exit(_INTERNAL_ERROR)
    sys.exit(status if isinstance(status, int) else 0)


def _one_line(error: BaseException) -> str:
    return printable(_shortened_words(str(error))) or type(error).__name__


def _shortened_words(text: str) -> str:
    # A name too long for any file system would hide what is said of it.
    return " ".join(shortened(word, _LONGEST_WORD) for word in text.split())
