"""A Neural Turing Machine over a whole sequence in one kernel launch: docs/fused.md."""

from ntm_jax.fused.sequence import fits, run

__all__ = ["fits", "run"]
