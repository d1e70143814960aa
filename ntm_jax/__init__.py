"""The Neural Turing Machine (Graves, Wayne and Danihelka 2014) for JAX."""

from typing import Any

from ntm_jax._renamed import renamed_names
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.models import NTM, find_traces, trace
from ntm_jax.rnn import RNN, ResetCell
from ntm_jax.state import NTMState, enlarge_memory, select_carry, with_memory

__all__ = [
    "LSTM",
    "NTM",
    "RNN",
    "FeedForward",
    "NTMCell",
    "NTMState",
    "ResetCell",
    "Stack",
    "enlarge_memory",
    "find_traces",
    "load_pretrained",
    "select_carry",
    "trace",
    "with_memory",
]

__version__ = "0.1.0"

_renamed_getattr = renamed_names(__name__, {"Recurrent": "RNN"})


def __getattr__(name: str) -> Any:
    """Imports `load_pretrained` when it is used, because it imports the trainer."""
    if name == "load_pretrained":
        from ntm_jax.pretrained import load_pretrained

        return load_pretrained
    return _renamed_getattr(name)
