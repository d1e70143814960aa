"""Compares runs: settings that differ, errors, wall time: `python compare.py --help`.

The command is ntm_jax/commands/compare.py.
"""

import os
import signal

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Without a traceback while modules are imported; `command_line.run` restores the handler.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))

    from ntm_jax.commands import run_compare

    run_compare()
