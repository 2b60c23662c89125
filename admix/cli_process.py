# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line owes the process around it: exit codes, signals, and errors of one line.

Results go to standard output; progress, warnings and errors go to standard error. Exit codes: 0 done, 1 the
run failed, 2 the input is wrong, 130 interrupted by Ctrl-C, 141 the reader of a pipe has gone, 143
terminated.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from admix.errors import AdmixError, InputError, nearest
from admix.interrupts import SAVE

if TYPE_CHECKING:
    from admix.progress import Progress

__all__ = [
    "STANDARD_OUTPUT",
    "CommandGroup",
    "Stopped",
    "execute",
    "messages",
    "place",
    "show_tracebacks",
    "tell",
]

STANDARD_OUTPUT = "standard output"
EXIT_INTERRUPTED, EXIT_PIPE, EXIT_TERMINATED = 130, 141, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM; handled wherever Ctrl-C is."""


class Stopped(AdmixError):
    """A command that was interrupted, and what is kept of its work.

    Parameters
    ----------
    interrupt
        What ended it: Ctrl-C or SIGTERM.
    kept
        What the reader should know.
    """

    def __init__(self, interrupt: KeyboardInterrupt, kept: str) -> None:
        terminated = isinstance(interrupt, Terminated)
        self.exit_code = EXIT_TERMINATED if terminated else EXIT_INTERRUPTED
        super().__init__(f"{'terminated' if terminated else 'interrupted'}: {kept}")


class _UsageError(AdmixError):
    exit_code = 2


@dataclass
class _Session:
    """What the last-resort error messages need to know about the command under way."""

    debug: bool = False
    place: str = STANDARD_OUTPUT


_session = _Session()


def show_tracebacks() -> None:
    """Show where an unexpected error of this command comes from."""
    _session.debug = True


def place(path: object) -> None:
    """Name what this command writes, for errors of the operating system that name no path."""
    _session.place = str(path)


def tell(*lines: str) -> None:
    """Print lines on standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


class CommandGroup(TyperGroup):
    """Commands of which an unknown one is reported in one line with the nearest spelling."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command named first in ``args``.

        Raises
        ------
        InputError
            If there is no such command.
        """
        if args and args[0] not in self.commands:
            names = list(self.commands)
            raise InputError(_where(ctx, "COMMAND"), args[0], ", ".join(names), nearest(args[0], names))
        return super().resolve_command(ctx, args)


def execute(app: typer.Typer, args: Sequence[str]) -> int:
    """Run one command and return its exit code; every error has been reported in one line.

    Parameters
    ----------
    app
        The commands.
    args
        The words after the program's name.
    """
    global _session
    _session = _Session()
    with _termination():
        try:
            code = _dispatch(app, list(args))
            _flush()
            return code
        except AdmixError as error:
            return _complain(str(error), error.exit_code)
        except Terminated:
            return _complain("terminated", EXIT_TERMINATED)
        except KeyboardInterrupt:
            return _complain("interrupted", EXIT_INTERRUPTED)
        except BrokenPipeError:
            _silence_stdout()
            return EXIT_PIPE
        except MemoryError:
            return _unexpected("not enough memory; admix run --dry-run says how much a run needs")
        except OSError as error:
            return _unexpected(_os_line(error))
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            hint = "" if _debug() else "; this is a fault in admix: set ADMIX_DEBUG=1 to see where, and report it"
            return _unexpected(f"unexpected {text}{hint}")


def _dispatch(app: typer.Typer, args: list[str]) -> int:
    # Not app(): typer turns Ctrl-C into a bare exit code and prints usage errors over several lines.
    command: Any = get_command(app)
    try:
        with command.make_context("admix", args) as context:
            command.invoke(context)
        return 0
    except typer.Exit as error:
        return error.exit_code
    except Exception as error:
        # Usage errors have no public base class that all versions of typer share.
        if hasattr(error, "format_message"):
            raise _usage_error(error) from None
        raise


def _where(context: Any, what: str = "") -> str:
    """Return the command that ``context`` belongs to, without the program's name, and ``what``."""
    return " ".join([*context.command_path.split()[1:], what]).strip()


def _usage_error(error: Any) -> AdmixError:
    """Return typer's error as one line in the form of all the others."""
    context = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    if context is not None and option is not None and hasattr(error, "possibilities"):
        near = _near_option(option, context)
        return InputError(_where(context, "OPTION"), option, f"one that '{context.command_path} --help' lists", near)
    text = " ".join(error.format_message().split()).rstrip(".")
    if context is None:
        return _UsageError(f"{text[:1].lower()}{text[1:]}")
    where = _where(context)
    line = f"{where}: " if where else ""
    return _UsageError(f"{line}{text[:1].lower()}{text[1:]}; see '{context.command_path} --help'")


def _near_option(option: str, context: Any) -> str | None:
    """Return the spelling that was probably meant: here, or as an option of a command below."""
    spelling: dict[str, str] = {}
    for name, command in getattr(context.command, "commands", {}).items():
        for found in _options(command):
            spelling.setdefault(found, f"{context.command_path} {name} {found}")
    spelling |= {found: found for found in _options(context.command)}
    near = nearest(option, spelling)
    return spelling[near] if near is not None else None


def _options(command: Any) -> list[str]:
    names = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
    return [name for name in names if name.startswith("-")] + ["--help"]


def _complain(line: str, code: int) -> int:
    with suppress(OSError, ValueError):
        _flush()
    with suppress(OSError, ValueError):
        sys.stderr.write(f"admix: {line}\n")
        sys.stderr.flush()
    return code


def _unexpected(line: str) -> int:
    if _debug():
        with suppress(OSError, ValueError):
            traceback.print_exc()
    return _complain(line, 1)


def _debug() -> bool:
    return _session.debug or os.environ.get("ADMIX_DEBUG", "") not in ("", "0")


def _os_line(error: OSError) -> str:
    line = f"{error.filename or _session.place}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and _session.place != STANDARD_OUTPUT:
        line += "; finished burn-ins are kept: make room and give the same command again"
    return line


def _flush() -> None:
    """Write out standard output; a failure names it and does not come back at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence_stdout()
        raise OSError(error.errno, error.strerror, STANDARD_OUTPUT) from error


def _silence_stdout() -> None:
    # What is still in the buffer would fail again when the interpreter closes the stream.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def _termination() -> Iterator[None]:
    """Let SIGTERM end the program the way Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if SAVE is not None:
        # asks for a checkpoint: where there is nothing to save, nothing is to happen
        before[SAVE] = signal.signal(SAVE, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Messages(logging.Handler):
    """Log records of admix, written above the progress bar."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as one line."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        self.progress.say(f"admix: {level}{' '.join(record.getMessage().split())}")


@contextmanager
def messages(verbose: int, quiet: bool) -> Iterator[Progress]:
    """Give a progress display that log records and Python warnings are written to as well."""
    from admix.progress import Progress

    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logger = logging.getLogger("admix")
    before = logger.level
    with Progress(quiet=quiet) as progress, warnings.catch_warnings():
        handler = _Messages(progress)
        logger.addHandler(handler)
        logger.setLevel(levels[min(verbose, 2)])

        def show(message: Warning | str, *rest: object, **more: object) -> None:
            logger.warning("%s", message)

        warnings.showwarning = show
        try:
            yield progress
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
