"""Evaluates a trained model and prints a table of the results: `python eval.py --help`.

The command is ntm_jax/commands/eval.py.
"""

import os
import signal

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Without a traceback while modules are imported; `command_line.run` restores the handler.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))

    from ntm_jax.commands import run_eval

    run_eval()
