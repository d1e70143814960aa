import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import ntm_jax
from ntm_jax import cell as cell_module
from ntm_jax._renamed import renamed_fields
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import FeedForward


@renamed_fields(width="features", removed=None)
class _Layer(nn.Module):
    features: int = 2

    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(self.features)(inputs)


@pytest.mark.parametrize(
    ("old", "message"),
    [("width", "_Layer.width: renamed to features"), ("removed", "_Layer.removed: was removed")],
)
def test_old_field_raises(old, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        _Layer(**{old: 1})
    with pytest.raises(TypeError, match=f"^{message}$"):
        _Layer().clone(**{old: 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
        _Layer(unknown=1)


def test_new_fields_work_in_init_and_clone():
    variables = _Layer(3).init(jax.random.key(0), jnp.zeros(4))
    assert _Layer(features=3).apply(variables, jnp.zeros(4)).shape == (3,)
    assert _Layer().clone(features=5).features == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [("weights_init", "head_init"), ("content_reads", "num_content_read_heads")],
)
def test_old_cell_field_raises(old, new):
    with pytest.raises(TypeError, match=f"^NTMCell.{old}: renamed to {new}$"):
        NTMCell(2, FeedForward((3,)), **{old: 1})
    assert new in NTMCell.__dataclass_fields__


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (cell_module, "Step", "StepTrace"),
        (cell_module, "machine_step", "access_memory"),
        (cell_module, "marked_memory", "first_slot_marker"),
        (cell_module, "one_hot_weights", "one_hot_weighting"),
        (cell_module, "uniform_weights", "uniform_weighting"),
        (ntm_jax, "Recurrent", "RNN"),
    ],
)
def test_old_module_name_raises(module, old, new):
    with pytest.raises(ImportError, match=f"^{module.__name__}.{old}: renamed to {new}$"):
        exec(f"from {module.__name__} import {old}")
    assert hasattr(module, new)
    assert not hasattr(module, "unknown")
