"""Flags, paths, output and errors of the scripts: each mistake ends in one line."""

import contextlib
import difflib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import app, flags

from ntm_jax.runtime.files import one_line

__all__ = ["SafeStream", "fail", "local_path", "parse_flags", "run", "script_name"]


class SafeStream:
    """A text stream that drops what cannot be written, as to a closed pipe or a full disk.

    Args:
      stream: the stream; None, as Python has it for a closed descriptor, drops everything.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream or io.StringIO(), name)

    def write(self, text: str) -> None:
        """Writes the text, if that is possible."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flushes the stream, if that is possible."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.flush()


def run(main: Callable[[Any], None], flags_parser: Callable[[list[str]], Any], module: str) -> None:
    """Calls `main` as `app.run` does, without tracebacks for Ctrl-C and too little memory.

    --help shows the docstring and the flags of `module`, whichever script calls it.
    """
    sys.modules["__main__"].__doc__ = sys.modules[module].__doc__
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:
            os.open(os.devnull, os.O_RDWR)  # or another file would get the closed descriptor
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files may not be encodable
        setattr(sys, name, SafeStream(stream))
    sys.path.append("")  # a config can name a task in the current directory
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app.run(main, flags_parser=flags_parser)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not (isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)):
            raise
        fail(f"out of memory: {one_line(str(error) or 'try smaller sizes')}")


def script_name() -> str:
    """Returns the name under which the command was called, such as "train.py" or "ntm-train"."""
    return Path(sys.argv[0]).name


def fail(message: object) -> NoReturn:
    """Exits with status 1 and a line on standard error that starts with the script's name."""
    sys.exit(f"{script_name()}: {message}")


def local_path(flag: str, text: str) -> Path:
    """Returns the path that a flag names, with `~` expanded; exits if it cannot be a path."""
    reason = "not a path" if not text or "://" in text or "\0" in text else ""
    path = Path(text)
    try:
        path = path.expanduser()
        for part in (*map(Path, path.parts), path / ("x" * 200)):  # a file in it has a long name
            part.exists()  # raises if the name is too long
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
    if reason:
        fail(f"--{flag}: expected a local path, got {one_line(repr(text))} ({reason})")
    return path


def parse_flags(
    argv: Sequence[str], values: flags.FlagValues = flags.FLAGS, allow_arguments: bool = False
) -> list[str]:
    """Parses flags as absl does; exits with one line for a wrong one.

    Returns:
      The other arguments; without `allow_arguments` they are refused like a wrong flag.
    """
    try:
        rest = values(argv)[1:]
        if rest and not allow_arguments:
            fail(f"expected flags only, got {one_line(' '.join(rest))}")
        return rest
    except flags.UnrecognizedFlagError as error:
        close = difflib.get_close_matches(error.flagname, [*flags.FLAGS], n=1)
        own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
        hint = f"did you mean --{close[0]}?" if close else f"valid flags: --{', --'.join(own)}"
        fail(f"--{one_line(error.flagname)}: unknown flag; {hint}")
    except (flags.Error, ValueError) as error:
        fail(_flag_error(error, values))


def _flag_error(error: Exception, values: flags.FlagValues) -> str:
    """Returns the message of an error of absl in the form "--FLAG: expected X, got Y"."""
    if match := re.fullmatch(r"Missing value for flag -*(\S+)", str(error)):
        return f"--{match[1]}: expected a value, got none"
    match = re.match(r"flag --([^=]+)=", str(error))
    if match is None or match[1] not in values:
        return one_line(error)
    parser: Any = values[match[1]].parser
    if isinstance(parser, flags.BooleanParser):
        expected = "true or false"
    elif isinstance(parser, flags.EnumParser):
        expected = f"one of {', '.join(parser.enum_values)}"
    else:
        expected = parser.syntactic_help or f"a {parser.flag_type()}"
        expected = re.sub(r"in the range \[(.*), (.*)\]", r"from \1 to \2", expected)
    given = str(error)[match.end() :].removesuffix(f": {error.__context__}")
    return f"--{match[1]}: expected {expected}, got {one_line(given or 'none')}"
