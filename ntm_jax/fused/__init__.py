"""A Neural Turing Machine over a whole sequence in one kernel launch: docs/fused.md."""

from ntm_jax.fused.sequence import IMPLEMENTATIONS, fits, run

__all__ = ["IMPLEMENTATIONS", "fits", "run"]
