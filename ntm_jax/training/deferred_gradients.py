"""Gradients of dense layers in a scan, deferred to one matrix product per layer.

Autodiff of a scan adds to the gradient of every kernel in each step of the backward pass; with
small batches, most of a training step is reading and writing these sums. Here the backward pass
stores the inputs of each dense layer and the gradients of its outputs, and multiplies them once
after the scan. The gradients of the inputs need the transposed kernels, which are transposed once
outside the scan, because strided reads inside it are slow on CPU.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from ntm_jax.rnn import RNN

__all__ = ["deferred"]

# Collections of the inputs of the dense layers, of zeros that are added to their outputs and whose
# gradients are those of the outputs, and of the transposed kernels.
_INPUTS, _PERTURBATIONS, _TRANSPOSED = "dense_inputs", "dense_perturbations", "dense_transposed"

Apply = Callable[[Any, jax.Array, dict[str, jax.Array]], Any]


def deferred(model: nn.Module) -> Apply:
    """Returns `model.apply` with deferred gradients, equal up to the order of summation.

    The gradients of every `nn.Dense` that is called once per step are deferred; autodiff computes
    all others.

    Args:
      model: a module that maps inputs to outputs. The scan of an `RNN` is extended; a scan of any
        other module keeps its gradients.

    Returns:
      The function of parameters, inputs and a dict of random keys. It supports reverse mode only.
    """
    if isinstance(model, RNN):
        model = model.clone(
            variable_axes={**model.variable_axes, _INPUTS: 0, _PERTURBATIONS: 0},
            variable_broadcast=(*model.variable_broadcast, _TRANSPOSED),
        )

    def apply(params: Any, inputs: jax.Array, rngs: dict[str, jax.Array]) -> Any:
        return model.apply({"params": params}, inputs, rngs=rngs)

    def forward(params: Any, inputs: jax.Array, rngs: dict[str, jax.Array]) -> tuple[Any, Any]:
        with nn.intercept_methods(_intercept):
            shapes = jax.eval_shape(
                lambda: model.apply(
                    {"params": params}, inputs, rngs=rngs, mutable=(_INPUTS, _PERTURBATIONS)
                )[1]
            )
            layer_inputs = _by_layer(shapes.get(_INPUTS, {}))
            zeros = {
                layer: jnp.zeros(outputs.shape, outputs.dtype)
                for layer, outputs in _by_layer(shapes.get(_PERTURBATIONS, {})).items()
                if len(layer_inputs[layer]) == 1
            }
            flat = flatten_dict(params)
            dense_params = {path: value for path, value in flat.items() if path[:-1] in zeros}
            other_params = {path: value for path, value in flat.items() if path[:-1] not in zeros}
            transposed = {(*layer, _TRANSPOSED): flat[*layer, "kernel"].T for layer in zeros}

            def run(other_params: dict, zeros: dict, inputs: jax.Array) -> tuple[jax.Array, Any]:
                perturbations = {(*layer, _PERTURBATIONS): value for layer, value in zeros.items()}
                variables = {
                    "params": unflatten_dict(other_params | dense_params),
                    _PERTURBATIONS: unflatten_dict(perturbations),
                    _TRANSPOSED: unflatten_dict(transposed),
                }
                return model.apply(variables, inputs, rngs=rngs, mutable=(_INPUTS,))

            outputs, vjp, variables = jax.vjp(run, other_params, zeros, inputs, has_aux=True)
        return outputs, (vjp, dense_params, _by_layer(variables.get(_INPUTS, {})))

    def backward(residuals: Any, d_outputs: jax.Array) -> tuple[Any, jax.Array, None]:
        vjp, dense_params, layer_inputs = residuals
        d_params, d_layer_outputs, d_inputs = vjp(d_outputs)
        for (*layer, name), value in dense_params.items():
            layer = tuple(layer)
            d_params[*layer, name] = _dense_gradient(
                name, layer_inputs[layer][0], d_layer_outputs[layer], value.dtype
            )
        return unflatten_dict(d_params), d_inputs, None

    function = jax.custom_vjp(apply)
    function.defvjp(forward, backward)
    return function


def _intercept(
    call: Callable[..., Any], args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> Any:
    """Calls a method; stores the inputs and perturbs the outputs of dense layers."""
    layer = context.module
    outputs = call(*args, **kwargs)
    if not isinstance(layer, nn.Dense) or context.method_name != "__call__":
        return outputs
    if layer.is_mutable_collection(_PERTURBATIONS) or layer.has_variable(
        _PERTURBATIONS, _PERTURBATIONS
    ):
        layer.sow(_INPUTS, _INPUTS, *args)
        if layer.has_variable(_TRANSPOSED, _TRANSPOSED):
            transposed: jax.Array = layer.get_variable(_TRANSPOSED, _TRANSPOSED)
            transposed = transposed.astype(outputs.dtype)
            outputs = _backpropagate(outputs, args[0].astype(outputs.dtype), transposed)
        outputs = layer.perturb(_PERTURBATIONS, outputs, collection=_PERTURBATIONS)
    return outputs


@jax.custom_vjp
def _backpropagate(outputs: jax.Array, inputs: jax.Array, transposed: jax.Array) -> jax.Array:
    """Returns the outputs; the gradient of the inputs uses the transposed kernel."""
    return outputs


def _backpropagate_forward(outputs: jax.Array, inputs: jax.Array, transposed: jax.Array) -> Any:
    return outputs, transposed


def _backpropagate_backward(transposed: jax.Array, d_outputs: jax.Array) -> tuple:
    return None, d_outputs @ transposed, None


_backpropagate.defvjp(_backpropagate_forward, _backpropagate_backward)


def _by_layer(collection: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    return {path[:-1]: value for path, value in flatten_dict(collection).items()}


def _dense_gradient(name: str, inputs: jax.Array, d_outputs: jax.Array, dtype: Any) -> jax.Array:
    """Returns the gradient of a kernel or bias, summed over time and batch."""
    d_outputs = d_outputs.reshape(-1, d_outputs.shape[-1])
    if name == "bias":
        return jnp.sum(d_outputs, axis=0, dtype=dtype)
    inputs = inputs.reshape(-1, inputs.shape[-1])
    return jnp.matmul(inputs.T, d_outputs, preferred_element_type=dtype)
