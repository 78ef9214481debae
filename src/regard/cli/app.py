"""The door: the `regard` command, and what becomes of errors.

A user's mistake is one line and exit code 2; an interruption is one line and 130; anything else is a bug of ours, one
line and exit code 1, with its trace for those who ask. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from regard.cli import align, compare, data, demo, evaluate, fine_tune, guide, train, translate, watch
from regard.cli.stopped import Stopped
from regard.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="regard",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Start with [bold]regard translate --show "I love deep learning"[/bold]; [bold]regard demo[/bold] trains '
    "two and compares them; [bold]regard train pairs.tsv[/bold] learns from your own sentence pairs.",
    rich_markup_mode="rich",
)
for command in (
    demo.demo,
    train.train,
    fine_tune.fine_tune,
    translate.translate,
    evaluate.evaluate,
    compare.compare,
    align.align,
    watch.watch,
    guide.guide,
):
    app.command(no_args_is_help=False, epilog=getattr(sys.modules[command.__module__], "EXAMPLES", None))(command)
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def regard(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an unexpected error.")] = False,
) -> None:
    """Translators with attention: train one on your sentence pairs, translate with it, see where it looked."""
    if debug:
        os.environ["REGARD_DEBUG"] = "1"
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"regard {installed('regard')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream put in place of the terminal may not know how
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _run(arguments)
        sys.stdout.flush()  # what was written before a mistake was found
    except BrokenPipeError:  # whoever read our output has gone
        _forget_output()
        code = 1
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        # Without standalone mode errors arrive here; an interruption comes back as a code instead.
        code = command.main(args=arguments, prog_name="regard", standalone_mode=False, obj=arguments)
        sys.stdout.flush()  # here, so that a disk that takes no more is said
    except UserError as error:
        return _say(str(error), 2)
    except Stopped as stopped:
        return _say(str(stopped), 130)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if hasattr(error, "format_message"):  # what typer says of wrong options
            message = error.format_message().rstrip(".")
            return _say(f"{message}; see {_help_for(error)}", getattr(error, "exit_code", 2))
        if isinstance(error, OSError) and error.errno in FULL:
            _forget_output()
            return _say(f"{error.filename or 'the output'}: {str(error.strerror).lower()}; make room, run it again", 2)
        return _unexpected(error)
    return _say("interrupted", 130) if code == 130 else int(code or 0)


def _help_for(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'regard'} --help"


def _forget_output() -> None:
    """What could not be written is not tried again at exit, with a second complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected(error: Exception) -> int:
    if os.environ.get("REGARD_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
        return 1
    return _say(f"unexpected {type(error).__name__}: {error} (run again with REGARD_DEBUG=1 to see where)", 1)


def _say(message: str, code: int) -> int:
    print("regard: " + " ".join(message.split()), file=sys.stderr)
    return code
