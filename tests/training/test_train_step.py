import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from support.runs import make_trainer, trees_equal
from support.tiny_config import tiny_config

from ntm_jax.tasks import losses
from ntm_jax.tasks.copy import Copy
from ntm_jax.training.experiment import Experiment


def first(tree):
    """Returns the first member."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


@functools.cache
def shared_trainer(num_seeds):
    """Returns the trainer of the tiny config, whose programs several tests run."""
    config = tiny_config()
    config.num_seeds = num_seeds
    return make_trainer(config)


def test_one_dispatch_equals_single_steps():
    trainer = shared_trainer(1)
    state, metrics = trainer.run(trainer.init(), 3)
    other = trainer.init()
    losses = []
    for _ in range(3):
        other, one = trainer.run(other, 1)
        losses.append(one.loss[0])
    assert state.step.tolist() == other.step.tolist() == [3]
    np.testing.assert_allclose(metrics.loss, losses, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_64_bit_jax_trains_with_the_same_dtypes():
    expected = jax.eval_shape(shared_trainer(1).init)
    with jax.enable_x64(True):
        trainer = make_trainer(tiny_config())
        state, metrics = trainer.run(trainer.init(), 1)
    assert jax.tree.map(lambda leaf: leaf.dtype, state) == jax.tree.map(
        lambda leaf: leaf.dtype, expected
    )
    assert {leaf.dtype for leaf in metrics} == {jnp.dtype("float32"), jnp.dtype("int32")}


def test_ema_is_bias_corrected():
    config = tiny_config("per_step_dense")
    config.ema_decay = 0.7
    trainer = make_trainer(config)
    state, history = trainer.init(), []
    for _ in range(5):
        state, _ = trainer.run(state, 1)
        history.append(jax.device_get(state.params))
    weights = 0.7 ** np.arange(5)[::-1]
    expected = jax.tree.map(lambda *leaves: np.average(leaves, axis=0, weights=weights), *history)
    for a, b in zip(jax.tree.leaves(state.ema_params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_without_ema_params_are_stored_once():
    config = tiny_config("per_step_dense")
    config.ema_decay = 0.0
    trainer = make_trainer(config)
    state, _ = trainer.run(trainer.init(), 3)
    assert trees_equal(state.ema_params, state.params)
    params, others = trainer.to_checkpoint(state)
    assert len(others) == 3
    assert trees_equal(trainer.from_checkpoint(params, others), state)


def test_seed_determines_the_run():
    config = tiny_config()
    first, again = shared_trainer(1), make_trainer(config)
    assert trees_equal(first.run(first.init(), 3), again.run(again.init(), 3))
    config.seed = 1
    other = make_trainer(config)
    assert not trees_equal(first.init().params, other.init().params)


def test_program_does_not_depend_on_the_seed():
    config = tiny_config("per_step_dense")
    one = make_trainer(config)
    one.compile(one.init(), 2)
    config.seed = 1
    other, served = make_trainer(config), make_trainer(config)
    served.compile = one.compile
    assert trees_equal(served.run(served.init(), 2), other.run(other.init(), 2))


def test_curriculum_changes_the_samples():
    @functools.cache
    def run_with(num_steps, curriculum, threshold=0.05, **task):
        config = tiny_config("per_step_dense")
        config.curriculum, config.curriculum_steps, config.curriculum_loss_threshold = (
            curriculum,
            2,
            threshold,
        )
        config.task.update(task)
        trainer = make_trainer(config)
        state, metrics = trainer.run(trainer.init(), num_steps)
        return state.params, metrics._replace(curriculum_progress=None)

    assert trees_equal(run_with(2, "max_size"), run_with(2, "uniform", min_length=3))
    assert not trees_equal(run_with(2, "max_size"), run_with(2, "uniform"))
    assert not trees_equal(run_with(2, "growing"), run_with(2, "uniform"))
    assert not trees_equal(run_with(2, "growing", threshold=100.0), run_with(2, "growing"))


def test_size_range_grows_with_small_losses():
    def run_with(error):
        config = tiny_config("per_step_dense")
        config.curriculum, config.curriculum_steps = "growing", 4
        config.curriculum_loss_threshold = error
        trainer = make_trainer(config)
        state, metrics = trainer.run(trainer.init(), 6)
        return metrics, state

    always, state = run_with(100.0)
    np.testing.assert_allclose(always.curriculum_progress[:, 0], [0, 0.25, 0.5, 0.75, 1, 1])
    assert state.curriculum_progress.tolist() == [1.0]
    never, state = run_with(1e-6)
    assert state.curriculum_progress.tolist() == [0.0]
    bits = np.asarray(never.loss)[:5, 0] / np.log(2)
    between = float(bits[[bits.argmin(), bits.argmax()]].mean())
    first = int(np.argmax(bits < between))
    sometimes, _ = run_with(between)
    np.testing.assert_allclose(
        sometimes.curriculum_progress[: first + 2, 0], [0] * (first + 1) + [0.25]
    )


def test_training_lowers_the_loss():
    config = tiny_config()
    config.learning_rate = 1e-2
    config.task.min_length = config.task.max_length = 1
    trainer = make_trainer(config)
    _, metrics = trainer.run(trainer.init(), 150)
    assert metrics.loss[-20:].mean() < 0.7 * metrics.loss[:5].mean()


def test_nonfinite_gradients_are_skipped():
    trainer = shared_trainer(1)
    state, _ = trainer.run(trainer.init(), 1)
    broken = state._replace(params=jax.tree.map(lambda leaf: leaf * jnp.inf, state.params))
    before = jax.device_get(broken)
    after, metrics = trainer.run(broken, 3)
    np.testing.assert_array_equal(metrics.consecutive_nonfinite, [[1], [2], [3]])
    assert after.optimizer_state.total_notfinite.tolist() == [3]
    assert after.step.tolist() == [4]
    np.testing.assert_equal(jax.device_get(after.params), before.params)
    np.testing.assert_equal(
        jax.device_get(after.optimizer_state.inner_state), before.optimizer_state.inner_state
    )


def test_nonfinite_losses_are_skipped():
    class Broken(Copy):
        def sample(self, key, batch_size, size_range):
            batch = super().sample(key, batch_size, size_range)
            # Every other batch has a target that is not a number: finite gradients elsewhere.
            bad = jax.random.bernoulli(key, 0.5)
            return batch._replace(targets=jnp.where(bad, jnp.nan, batch.targets))

    config = tiny_config()
    trainer = make_trainer(config, task=Broken(max_length=3, num_bits=2))
    state, metrics = trainer.run(trainer.init(), 20)
    assert 0 < int(state.optimizer_state.total_notfinite[0]) < 20
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    bad = ~np.isfinite(metrics.loss)
    np.testing.assert_array_equal(np.asarray(metrics.consecutive_nonfinite) > 0, bad)


def test_training_alternates_between_memory_sizes():
    config = tiny_config()
    config.model.memory_init = config.model.head_init = "learned"  # parameters of 4 slots
    config.model.train_num_slots = (4, 6)
    trainer, task = make_trainer(config), Experiment.from_config(config).task
    state = trainer.init()
    apply = {slots: jax.jit(Experiment.from_config(config, slots).model.apply) for slots in (4, 6)}
    for step, slots in ((1, 4), (2, 6), (3, 4)):
        key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step))[0]
        batch = task.sample(key, config.batch_size)
        logits = apply[slots]({"params": first(state.params)}, batch.inputs)
        expected = losses.bit_cross_entropy(logits, batch.targets, batch.mask.astype(jnp.float32))
        state, metrics = trainer.run(state, 1)
        np.testing.assert_allclose(metrics.loss[0, 0], expected, rtol=1e-5)


def test_all_lengths_share_one_program():
    config = tiny_config()
    trainer = make_trainer(config, optimizer=optax.sgd(0.1))
    state = trainer.init()
    program = trainer.compile(state, 2)
    for _ in range(3):
        state, _ = trainer.run(state, 2)
    assert trainer.compile(state, 2) is program


def test_member_equals_its_seed_alone():
    def run(seed, num_seeds):
        config = tiny_config()
        config.seed, config.num_seeds = seed, num_seeds
        trainer = make_trainer(config)
        trainer.compile = shared_trainer(num_seeds).compile
        state, losses, grad_norms = trainer.init(), [], []
        for _ in range(3):
            state, metrics = trainer.run(state, 3)
            losses.append(metrics.loss)
            grad_norms.append(metrics.grad_norm)
        return state, np.concatenate(losses), grad_norms[0][0]

    state, losses, grad_norm = run(5, 3)
    for member, seed in enumerate((5, 6, 7)):
        alone, expected, expected_grad_norm = run(seed, 1)
        np.testing.assert_allclose(losses[:, member], expected[:, 0], rtol=1e-4)
        np.testing.assert_allclose(grad_norm[member], expected_grad_norm[0], rtol=1e-4)
        assert state.step[member] == alone.step[0] == 9


def test_inactive_member_does_not_change():
    trainer = shared_trainer(3)
    state, _ = trainer.run(trainer.init(), 3)
    before = jax.device_get(state)
    after, _ = trainer.run(state, 3, [True, False, True])
    assert after.step.tolist() == [6, 3, 6]
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old[1], new[1])
    assert not trees_equal(first(before.params), first(after.params))


def test_nonfinite_member_changes_no_other():
    trainer = shared_trainer(3)
    good, expected = trainer.run(trainer.init(), 3)
    state = trainer.init()
    bad = state._replace(params=jax.tree.map(lambda leaf: leaf.at[1].mul(jnp.nan), state.params))
    after, metrics = trainer.run(bad, 3)
    np.testing.assert_array_equal(metrics.consecutive_nonfinite, [[0, k, 0] for k in (1, 2, 3)])
    np.testing.assert_array_equal(metrics.loss[:, [0, 2]], expected.loss[:, [0, 2]])
    assert trees_equal(first(after.params), first(good.params))
    assert after.optimizer_state.total_notfinite.tolist() == [0, 3, 0]


def test_restart_changes_one_member():
    config = tiny_config("per_step_dense")
    config.num_seeds = 3
    trainer = make_trainer(config)
    first = jax.device_get(trainer.init().params)
    state, _ = trainer.run(trainer.init(), 2)
    before = jax.device_get(state)
    after = jax.device_get(trainer.restart(state, [False, True, False]))

    def member(tree, index):
        return jax.tree.map(lambda leaf: leaf[index], tree)

    for other in (0, 2):
        assert trees_equal(member(after, other), member(before, other))
    assert after.step.tolist() == [2, 2, 2]
    for earlier in (first, before.params):
        kernels = zip(*map(jax.tree.leaves, (member(after.params, 1), earlier)), strict=True)
        assert not any(np.array_equal(new, old[1]) for new, old in kernels if new.any())
    assert trees_equal(member(after.ema_params, 1), member(after.params, 1))
    assert after.optimizer_state.notfinite_count[1] == 0
    moments = optax.tree.get_all_with_path(after.optimizer_state, "mu")
    assert moments and not any(np.any(leaf[1]) for leaf in jax.tree.leaves(moments[0][1]))

    config.seed, config.num_seeds = 1, 1
    alone = make_trainer(config)
    state, _ = alone.run(alone.init(), 2)
    alone_after = jax.device_get(alone.restart(state, [True]))
    assert trees_equal(member(alone_after.params, 0), member(after.params, 1))
