"""The Neural Turing Machine (Graves, Wayne and Danihelka 2014) for JAX."""

from ntm_jax.cell import NTMCell, NTMState
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.models import NTM, Recurrent, trace

__all__ = ["LSTM", "NTM", "FeedForward", "NTMCell", "NTMState", "Recurrent", "Stack", "trace"]
