"""The Neural Turing Machine (Graves, Wayne and Danihelka 2014) for JAX."""

from typing import Any

from ntm_jax.cell import NTMCell, NTMState
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.models import NTM, trace
from ntm_jax.rnn import Recurrent

__all__ = [
    "LSTM",
    "NTM",
    "FeedForward",
    "NTMCell",
    "NTMState",
    "Recurrent",
    "Stack",
    "load_pretrained",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Where it is asked for: who imports the cell does not want settings and files."""
    if name == "load_pretrained":
        from ntm_jax.pretrained import load_pretrained

        return load_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
