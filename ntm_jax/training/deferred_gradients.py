"""Gradients of dense layers in a scan, by fewer and better products.

Autodiff adds the gradient of every kernel to a sum in every step of the backward pass: with a batch
of a few sequences, much of an update is that sum being read and written. Here the backward pass
keeps the gradient of each layer's outputs, and the layers' inputs; a product of the two, once it
is through, is the same gradient. The gradient of the inputs takes transposed kernels, which a CPU
reads against the grain in every step; here they are laid out once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

__all__ = ["COLLECTIONS", "TRANSPOSED", "deferred"]

# What a dense layer saw, and zeros added to what it said, whose gradient is that of its outputs.
# A scan that lists them among its `variable_axes`, stacked over time, has its layers deferred.
COLLECTIONS = _SEEN, _ADDED = "dense_inputs", "dense_additions"

# The layers' kernels, transposed. A scan lists it among its `variable_broadcast`.
TRANSPOSED = "dense_transposed"

Apply = Callable[[Any, jax.Array, dict[str, jax.Array]], Any]


def deferred(model: nn.Module) -> Apply:
    """The model as a function whose reverse gradient is the same, in another order of sums.

    Deferred are those `nn.Dense` that are called once a step; every other parameter has the
    gradient of autodiff.

    Args:
      model: from inputs to outputs.

    Returns:
      The function of parameters, inputs and random keys by name. Forward-mode gradients of it do
      not exist.
    """

    def apply(params: Any, inputs: jax.Array, rngs: dict[str, jax.Array]) -> Any:
        return model.apply({"params": params}, inputs, rngs=rngs)

    def forward(params: Any, inputs: jax.Array, rngs: dict[str, jax.Array]) -> tuple[Any, Any]:
        with nn.intercept_methods(_record):
            variables = {"params": params}
            _, shapes = jax.eval_shape(
                lambda: model.apply(variables, inputs, rngs=rngs, mutable=COLLECTIONS)
            )
            seen = _by_layer(shapes.get(_SEEN, {}))
            zeros = {
                layer: jnp.zeros(added.shape, added.dtype)
                for layer, added in _by_layer(shapes.get(_ADDED, {})).items()
                if len(seen[layer]) == 1
            }
            flat = flatten_dict(params)
            dense = {path: value for path, value in flat.items() if path[:-1] in zeros}
            others = {path: value for path, value in flat.items() if path not in dense}
            transposed = {(*layer, TRANSPOSED): dense[*layer, "kernel"].T for layer in zeros}

            def run(others: dict, added: dict, inputs: jax.Array) -> tuple[jax.Array, Any]:
                variables = {
                    "params": unflatten_dict(others | dense),
                    _ADDED: unflatten_dict(
                        {(*layer, _ADDED): value for layer, value in added.items()}
                    ),
                    TRANSPOSED: unflatten_dict(transposed),
                }
                return model.apply(variables, inputs, rngs=rngs, mutable=(_SEEN,))

            outputs, backward, recorded = jax.vjp(run, others, zeros, inputs, has_aux=True)
        return outputs, (backward, dense, _by_layer(recorded.get(_SEEN, {})))

    def backward(residuals: Any, gradient: jax.Array) -> tuple[Any, jax.Array, None]:
        backward, dense, seen = residuals
        others, of_outputs, of_inputs = backward(gradient)
        gradients = {
            (*layer, name): _of_layer(name, seen[tuple(layer)][0], of_outputs[tuple(layer)], value)
            for (*layer, name), value in dense.items()
        }
        return unflatten_dict(others | gradients), of_inputs, None

    function = jax.custom_vjp(apply)
    function.defvjp(forward, backward)
    return function


def _record(
    call: Callable[..., Any], args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> Any:
    """Calls a method of a module; if it is a dense layer's, notes its inputs and adds the zeros."""
    layer = context.module
    outputs = call(*args, **kwargs)
    if not isinstance(layer, nn.Dense) or context.method_name != "__call__":
        return outputs
    if layer.is_mutable_collection(_ADDED) or layer.has_variable(_ADDED, _ADDED):
        layer.sow(_SEEN, _SEEN, *args)
        if layer.has_variable(TRANSPOSED, TRANSPOSED):
            transposed: jax.Array = layer.get_variable(TRANSPOSED, TRANSPOSED).astype(outputs.dtype)
            outputs = _back_through(outputs, args[0].astype(outputs.dtype), transposed)
        outputs = layer.perturb(_ADDED, outputs, collection=_ADDED)
    return outputs


@jax.custom_vjp
def _back_through(outputs: jax.Array, inputs: jax.Array, transposed: jax.Array) -> jax.Array:
    """The outputs; their gradient goes to the inputs by the transposed kernel."""
    return outputs


def _back_through_forward(outputs: jax.Array, inputs: jax.Array, transposed: jax.Array) -> Any:
    return outputs, transposed


def _back_through_backward(transposed: jax.Array, gradient: jax.Array) -> tuple:
    return None, gradient @ transposed, None


_back_through.defvjp(_back_through_forward, _back_through_backward)


def _by_layer(collection: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    return {path[:-1]: value for path, value in flatten_dict(collection).items()}


def _of_layer(name: str, inputs: jax.Array, of_outputs: jax.Array, value: jax.Array) -> jax.Array:
    """Gradient of a layer's kernel or bias, summed over time, batch and whatever else leads."""
    of_outputs = of_outputs.reshape(-1, of_outputs.shape[-1])
    if name == "bias":
        return jnp.sum(of_outputs, axis=0, dtype=value.dtype)
    inputs = inputs.reshape(-1, inputs.shape[-1])
    return jnp.matmul(inputs.T, of_outputs, preferred_element_type=value.dtype)
