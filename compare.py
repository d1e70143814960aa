"""Compares runs: settings that differ, errors, wall time: `python compare.py --help`.

The command is ntm_jax/commands/compare.py.
"""

from ntm_jax.commands import run_compare

if __name__ == "__main__":
    run_compare()
