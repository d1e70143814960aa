import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.tiny_config import tiny_config

from ntm_jax.tasks import losses
from ntm_jax.training import experiment
from ntm_jax.training import config as configs
from ntm_jax.training.train_step import Updates

pytestmark = pytest.mark.usefixtures("optax_promotion")


def make(config, task=None, optimizer=None):
    return Updates(
        experiment.make_trained_models(config),
        task or experiment.make_task(config),
        optimizer or experiment.make_optimizer(config),
        config.batch_size,
        configs.seeds(config),
        config.ema_decay,
        experiment.make_curriculum(config),
    )


def same(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_many_updates_at_once_are_the_same_updates():
    config = tiny_config()
    together, apart = make(config), make(config)
    state, measured = together.run(together.init(), 3)
    other = apart.init()
    losses = []
    for _ in range(3):
        other, one = apart.run(other, 1)
        losses.append(one.loss[0])
    assert state.step.tolist() == other.step.tolist() == [3]
    np.testing.assert_allclose(measured.loss, losses, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_average_forgets_exponentially_and_starts_without_bias():
    config = tiny_config("dense")
    config.ema_decay = 0.7
    updates = make(config)
    state, history = updates.init(), []
    for _ in range(5):
        state, _ = updates.run(state, 1)
        history.append(jax.device_get(state.params))
    weights = 0.7 ** np.arange(5)[::-1]
    expected = jax.tree.map(lambda *leaves: np.average(leaves, axis=0, weights=weights), *history)
    for a, b in zip(jax.tree.leaves(state.average), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_without_a_decay_the_average_is_the_latest_and_stored_once():
    config = tiny_config("dense")
    config.ema_decay = 0.0
    updates = make(config)
    state, _ = updates.run(updates.init(), 3)
    assert same(state.average, state.params)
    params, others = updates.to_checkpoint(state)
    assert len(others) == 3
    assert same(updates.from_checkpoint(params, others), state)


def test_a_seed_repeats_and_another_differs():
    config = tiny_config()
    first, again = make(config), make(config)
    assert same(first.run(first.init(), 2), again.run(again.init(), 2))
    config.seed = 1
    other = make(config)
    assert not same(first.init().params, other.init().params)


def test_the_program_of_one_seed_serves_another():
    config = tiny_config("dense")
    one = make(config)
    one.compile(one.init(), 2)
    config.seed = 1
    other, served = make(config), make(config)
    served._compiled = one._compiled
    assert same(served.run(served.init(), 2), other.run(other.init(), 2))


def test_a_curriculum_says_what_an_update_sees():
    def after(num_updates, curriculum, error=0.05, **task):
        config = tiny_config("dense")
        config.curriculum, config.curriculum_updates, config.curriculum_error = curriculum, 2, error
        config.task.update(task)
        updates = make(config)
        state, measured = updates.run(updates.init(), num_updates)
        return state.params, measured._replace(grown=None)

    assert same(after(2, "none"), after(2, "uniform", min_length=3))
    assert not same(after(2, "none"), after(2, "uniform"))
    assert not same(after(2, "growing"), after(2, "uniform"))
    assert not same(after(2, "growing", error=100.0), after(2, "growing"))


def test_sizes_grow_by_each_update_of_small_error_up_to_the_largest():
    def grown(error):
        config = tiny_config("dense")
        config.curriculum, config.curriculum_updates = "growing", 4
        config.curriculum_error = error
        updates = make(config)
        state, measured = updates.run(updates.init(), 6)
        return measured, state

    always, state = grown(100.0)
    np.testing.assert_allclose(always.grown[:, 0], [0, 0.25, 0.5, 0.75, 1, 1])
    assert state.grown.tolist() == [1.0]
    never, state = grown(1e-6)
    assert state.grown.tolist() == [0.0]
    bits = np.asarray(never.loss)[:5, 0] / np.log(2)
    between = float(bits[[bits.argmin(), bits.argmax()]].mean())
    first = int(np.argmax(bits < between))
    sometimes, _ = grown(between)
    np.testing.assert_allclose(sometimes.grown[: first + 2, 0], [0] * (first + 1) + [0.25])


def test_training_lowers_the_loss():
    config = tiny_config()
    config.learning_rate = 1e-2
    config.task.min_length = config.task.max_length = 1
    updates = make(config)
    _, measured = updates.run(updates.init(), 150)
    assert measured.loss[-20:].mean() < 0.7 * measured.loss[:5].mean()


def test_an_update_is_skipped_and_counted_when_the_gradient_is_not_finite():
    config = tiny_config()
    updates = make(config)
    state, _ = updates.run(updates.init(), 1)
    broken = state._replace(params=jax.tree.map(lambda leaf: leaf * jnp.inf, state.params))
    before = jax.device_get(broken)
    after, measured = updates.run(broken, 3)
    np.testing.assert_array_equal(measured.skipped_in_a_row, [[1], [2], [3]])
    assert after.optimizer_state.total_notfinite.tolist() == [3]
    assert after.step.tolist() == [4]
    np.testing.assert_equal(jax.device_get(after.params), before.params)
    np.testing.assert_equal(
        jax.device_get(after.optimizer_state.inner_state), before.optimizer_state.inner_state
    )


def test_an_optimizer_is_not_fed_a_gradient_of_a_loss_that_is_not_finite():
    class Broken(type(experiment.make_task(tiny_config()))):
        def sample(self, key, batch_size, span):
            batch = super().sample(key, batch_size, span)
            # Every other batch has a target that is not a number: finite gradients elsewhere.
            bad = jax.random.bernoulli(key, 0.5)
            return batch._replace(targets=jnp.where(bad, jnp.nan, batch.targets))

    config = tiny_config()
    updates = make(config, task=Broken(max_length=3, num_bits=2))
    state, measured = updates.run(updates.init(), 20)
    assert 0 < int(state.optimizer_state.total_notfinite[0]) < 20
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    bad = ~np.isfinite(measured.loss)
    np.testing.assert_array_equal(np.asarray(measured.skipped_in_a_row) > 0, bad)


def test_memories_of_several_sizes_take_turns():
    config = tiny_config()
    config.model.memory_start = config.model.weights_start = "learned"  # parameters of 4 slots
    config.model.train_slots = (4, 6)
    updates, task = make(config), experiment.make_task(config)
    state = updates.init()
    for step, slots in ((1, 4), (2, 6), (3, 4)):
        key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step))[0]
        batch = task.sample(key, config.batch_size)
        model, params = experiment.make_model(config, slots), first(state.params)
        logits = model.apply({"params": params}, batch.inputs)
        expected = losses.bit_cross_entropy(logits, batch.targets, 1.0 * batch.mask)
        state, measured = updates.run(state, 1)
        np.testing.assert_allclose(measured.loss[0, 0], expected, rtol=1e-5)


def test_one_compilation_for_all_lengths():
    config = tiny_config()
    updates = make(config, optimizer=optax.sgd(0.1))
    state = updates.init()
    for _ in range(3):
        state, _ = updates.run(state, 2)
    assert len(updates._compiled) == 1


def test_a_member_learns_what_its_seed_learns_alone():
    config = tiny_config()
    config.seed, config.num_seeds = 5, 3
    together = make(config)
    state, measured = together.run(together.init(), 10)
    config.num_seeds = 1
    for member, seed in enumerate((5, 6, 7)):
        config.seed = seed
        updates = make(config)
        alone, expected = updates.run(updates.init(), 10)
        np.testing.assert_allclose(measured.loss[:, member], expected.loss[:, 0], rtol=1e-4)
        np.testing.assert_allclose(measured.grad_norm[0, member], expected.grad_norm[0], rtol=1e-4)
        assert state.step[member] == alone.step[0] == 10


def test_a_member_that_does_not_go_on_stays_as_it_is():
    config = tiny_config()
    config.num_seeds = 2
    updates = make(config)
    state, _ = updates.run(updates.init(), 2)
    before = jax.device_get(state)
    after, _ = updates.run(state, 2, [True, False])
    assert after.step.tolist() == [4, 2]
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old[1], new[1])
    assert not same(first(before.params), first(after.params))


def test_a_member_that_breaks_touches_no_other():
    config = tiny_config()
    config.num_seeds = 2
    updates, broken = make(config), make(config)
    good, expected = updates.run(updates.init(), 4)
    state = broken.init()
    bad = state._replace(params=jax.tree.map(lambda leaf: leaf.at[1].mul(jnp.nan), state.params))
    after, measured = broken.run(bad, 4)
    np.testing.assert_array_equal(measured.skipped_in_a_row, [[0, k] for k in range(1, 5)])
    np.testing.assert_array_equal(measured.loss[:, 0], expected.loss[:, 0])
    assert same(first(after.params), first(good.params))
    assert after.optimizer_state.total_notfinite.tolist() == [0, 4]


def first(tree):
    """The first member."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def test_a_restart_draws_anew_and_touches_no_other_member():
    config = tiny_config("dense")
    config.num_seeds = 3
    updates = make(config)
    first = jax.device_get(updates.init().params)
    state, _ = updates.run(updates.init(), 2)
    before = jax.device_get(state)
    after = jax.device_get(updates.restart(state, [False, True, False]))

    def member(tree, index):
        return jax.tree.map(lambda leaf: leaf[index], tree)

    for other in (0, 2):
        assert same(member(after, other), member(before, other))
    assert after.step.tolist() == [2, 2, 2]
    for earlier in (first, before.params):
        kernels = zip(*map(jax.tree.leaves, (member(after.params, 1), earlier)), strict=True)
        assert not any(np.array_equal(new, old[1]) for new, old in kernels if new.any())
    assert same(member(after.average, 1), member(after.params, 1))
    assert after.optimizer_state.notfinite_count[1] == 0
    moments = optax.tree.get_all_with_path(after.optimizer_state, "mu")
    assert moments and not any(np.any(leaf[1]) for leaf in jax.tree.leaves(moments[0][1]))

    config.seed, config.num_seeds = 1, 1
    alone = make(config)
    state, _ = alone.run(alone.init(), 2)
    alone_after = jax.device_get(alone.restart(state, [True]))
    assert same(member(alone_after.params, 0), member(after.params, 1))
