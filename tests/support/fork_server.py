"""Scripts as processes that need not import anything: a line of JSON in, a line of JSON out.

In: a script and its arguments. Out: its exit status, and what it said on both streams.
"""

import json
import os
import runpy
import sys
import tempfile

# Before the first fork, and nothing of JAX runs before it: threads do not survive one.
from ml_collections import config_flags

from ntm_jax.evaluation import plots, tables
from ntm_jax.training import loop

IMPORTED = config_flags, plots, reports, training


def child(argv, file):
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.argv, status = argv, 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as stopped:
        if isinstance(stopped.code, str):
            print(stopped.code, file=sys.stderr)
        status = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


for line in sys.stdin:
    with tempfile.TemporaryFile() as file:
        process = os.fork()
        if not process:
            child(json.loads(line), file)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        file.seek(0)
        print(json.dumps([status, file.read().decode()]), flush=True)
