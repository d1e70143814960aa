"""What JAX says of other processes, taken out, and of a lost one made into a line.

A program of its own, started by `processes.start`: lines in, lines out. It imports nothing of JAX.
"""

import re
import signal
import sys
from collections.abc import Iterable, Iterator

# How a record of JAX's own log begins: its severity, date, time, thread and file.
_RECORD = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (\S+):\d+\] ")
# Files whose records tell of other processes, and of little else.
_OF_OTHERS = re.compile(r"(coordination_service\w*|grpc_\w+|client|service)\.(cc|h)")
_GREETING = "[Gloo] "  # with which processes meet, on standard output
_OWN = "train.py: "

__all__ = ["last_words"]


def last_words(lines: Iterable[str], gone: str) -> Iterator[str]:
    """Passes lines on, without records that tell of other processes.

    After the process's own last words, which begin with "train.py: ", no record comes any more.
    Without them, the record with which JAX ends a process becomes `gone`.
    """
    dropping = said = False
    for line in lines:
        record = _RECORD.match(line)
        if record and said:
            return
        if record and line.startswith("F") and _OF_OTHERS.fullmatch(record[1]):
            yield f"{_OWN}{gone}\n"
            return
        if record:
            dropping = bool(_OF_OTHERS.fullmatch(record[1]))
        elif line.startswith((_OWN, "Traceback ")):
            dropping = False
        if not dropping and not line.startswith(_GREETING):
            yield line
        said = said or line.startswith(_OWN)


def _main() -> None:
    # It ends with the process that writes to it, not before.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with open(sys.stdin.fileno(), errors="replace") as lines:
        for line in last_words(lines, sys.argv[1]):
            sys.stdout.write(line)
            sys.stdout.flush()
        for _ in lines:
            pass


if __name__ == "__main__":
    _main()
