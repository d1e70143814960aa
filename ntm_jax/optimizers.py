"""Optimizers with the settings that NTMs train with; docs/training.md gives the reasons.

Both clip the gradient before they use it: components, then the global norm.
"""

from typing import Any

import optax

__all__ = ["adam", "learning_rate_schedule", "rmsprop_graves2013"]


def adam(
    learning_rate: float = 2e-3,
    half_life: int = 4000,
    b2: float = 0.9,
    eps: float = 1e-4,
    max_grad_norm: float = 1.0,
    max_grad_value: float = 0.0,
) -> optax.GradientTransformation:
    """Returns Adam with a decaying rate, for batches of about four sequences.

    Args:
      learning_rate: learning rate of the first training step.
      half_life: training steps in which the rate is halved; 0 keeps it constant.
      b2: decay of the second moment.
      eps: added to the root of the second moment; it keeps updates small once the loss is near
        zero.
      max_grad_norm: global norm to which the gradient is clipped; 0 disables it.
      max_grad_value: absolute value to which its components are clipped; 0 disables it.
    """
    rate = _decayed(learning_rate, half_life)
    return _clipped(optax.adam(rate, b2=b2, eps=eps), max_grad_norm, max_grad_value)


def rmsprop_graves2013(
    learning_rate: float = 1e-4,
    half_life: int = 0,
    max_grad_norm: float = 0.0,
    max_grad_value: float = 10.0,
) -> optax.GradientTransformation:
    """Returns RMSProp as in Graves (2013), equations 38 to 41, which the NTM paper uses.

    Args:
      learning_rate: learning rate of the first training step.
      half_life: training steps in which the rate is halved; 0 keeps it constant.
      max_grad_norm: global norm to which the gradient is clipped; 0 disables it.
      max_grad_value: absolute value to which its components are clipped; 0 disables it.
    """
    # sqrt(n - g^2 + 1e-4): the constant is inside the root.
    rmsprop = optax.rmsprop(
        _decayed(learning_rate, half_life),
        decay=0.95,
        eps=1e-4,
        centered=True,
        momentum=0.9,
        eps_in_sqrt=True,
    )
    return _clipped(rmsprop, max_grad_norm, max_grad_value)


def learning_rate_schedule(learning_rate: float, half_life: int) -> optax.Schedule:
    """Returns the learning rate as a function of the number of updates; 0 keeps it constant."""
    if not half_life:
        return optax.constant_schedule(learning_rate)
    return optax.exponential_decay(learning_rate, half_life, 0.5)


def _decayed(learning_rate: float, half_life: int) -> Any:
    # A constant has no state, as in checkpoints of earlier versions.
    return learning_rate_schedule(learning_rate, half_life) if half_life else learning_rate


def _clipped(
    optimizer: optax.GradientTransformation, max_grad_norm: float, max_grad_value: float
) -> optax.GradientTransformation:
    clips = [optax.clip(max_grad_value)] if max_grad_value else []
    clips += [optax.clip_by_global_norm(max_grad_norm)] if max_grad_norm else []
    return optax.chain(*clips, optimizer)
