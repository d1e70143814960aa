"""A T-maze learned with an actor-critic whose policy is an NTM that runs one step at a time.

A cue at the entrance shows the side of the reward; a corridor of unknown length leads to the
junction, where the agent turns left or right. The cue is gone by then, and the controller is
feed-forward, so only the memory connects the two. Environments run in one batch, and an episode may
end at any step: `select_carry` resets the memory of those environments.

Command: python examples/streaming_tmaze.py
Prints: the success rate while training on corridors of 1 to 20 steps, then by corridor length:
    1.00 at 5, 10, 20, 40 and 80 steps.
Wall time: half a minute on a CPU core.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ntm_jax import FeedForward, NTMCell, select_carry

FORWARD, LEFT = 0, 1  # and RIGHT = 2
NUM_ENVS, ROLLOUT, DISCOUNT = 16, 32, 0.95
# Outputs: the logits of the three actions, and the value.
CELL = NTMCell(features=4, controller=FeedForward((32,)), num_slots=16, slot_width=8)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3, b2=0.9))


class Maze(NamedTuple):
    """A batch of mazes.

    Attributes:
      side: the side of the reward, 0 or 1, [B].
      length: position of the junction, [B].
      position: position of the agent, [B].
    """

    side: jax.Array
    length: jax.Array
    position: jax.Array


def new_mazes(key: jax.Array, lengths: jax.Array) -> Maze:
    """Returns a batch with agents at the entrance and lengths from lengths[0] to lengths[1]."""
    side_key, length_key = jax.random.split(key)
    side = jax.random.randint(side_key, (NUM_ENVS,), 0, 2)
    length = jax.random.randint(length_key, (NUM_ENVS,), lengths[0], lengths[1] + 1)
    return Maze(side, length, jnp.zeros(NUM_ENVS, int))


def observe(maze: Maze) -> jax.Array:
    """Returns the observations [B, 4]: cue left, cue right, corridor, junction."""
    entrance, junction = maze.position == 0, maze.position == maze.length
    cues = [entrance & (maze.side == side) for side in (0, 1)]
    return jnp.stack([*cues, ~entrance & ~junction, junction], axis=-1).astype(jnp.float32)


def act(maze: Maze, action: jax.Array) -> tuple[Maze, jax.Array, jax.Array]:
    """Returns the mazes after one action, the rewards [B], and which episodes ended [B]."""
    junction, turn = maze.position == maze.length, action != FORWARD
    done = junction & turn
    reward = jnp.where(action - LEFT == maze.side, 1.0, -1.0)
    reward = jnp.where(done, reward, jnp.where(junction == turn, 0.0, -0.1))  # -0.1 for a wall
    return maze._replace(position=maze.position + (~junction & ~turn)), reward, done


def rollout(params: Any, state: tuple, key: jax.Array, lengths: jax.Array) -> tuple[tuple, dict]:
    """Runs the policy for `ROLLOUT` steps in all mazes, and resets those whose episode ends."""

    def step(state: tuple, key: jax.Array) -> tuple[tuple, dict]:
        maze, carry = state
        action_key, maze_key = jax.random.split(key)
        carry, outputs = CELL.apply({"params": params}, carry, observe(maze))
        log_probs, value = jax.nn.log_softmax(outputs[:, :3]), outputs[:, 3]
        action = jax.random.categorical(action_key, log_probs)
        maze, reward, done = act(maze, action)

        maze = select_carry(done, new_mazes(maze_key, lengths), maze)
        carry = select_carry(done, initial_carry(), carry)
        log_prob = jnp.take_along_axis(log_probs, action[:, None], axis=-1)[:, 0]
        entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
        return (maze, carry), {
            "log_prob": log_prob,
            "entropy": entropy,
            "value": value,
            "reward": reward,
            "done": done,
        }

    return jax.lax.scan(step, state, jax.random.split(key, ROLLOUT))


def initial_carry() -> Any:
    """Returns the carry before the first step of an episode, for all mazes."""
    return CELL.initialize_carry(jax.random.key(0), (NUM_ENVS, 4))


@jax.jit
def train_step(
    params: Any, opt_state: Any, state: tuple, key: jax.Array, lengths: jax.Array
) -> tuple[Any, Any, tuple, dict]:
    """Returns parameters, optimizer state, mazes and carry after one step, and the rollout."""

    def loss_fn(params: Any) -> tuple[jax.Array, tuple]:
        new_state, steps = rollout(params, state, key, lengths)

        def discount(future: jax.Array, step: dict) -> tuple[jax.Array, jax.Array]:
            value = step["reward"] + DISCOUNT * jnp.where(step["done"], 0.0, future)
            return value, value

        # The last step only contributes its value, the estimate of the return from there on.
        last_value = jax.lax.stop_gradient(steps["value"][-1])
        scored = jax.tree.map(lambda leaf: leaf[:-1], steps)
        _, returns = jax.lax.scan(discount, last_value, scored, reverse=True)
        advantages = returns - jax.lax.stop_gradient(scored["value"])
        policy_loss = -jnp.mean(advantages * scored["log_prob"])
        value_loss = jnp.mean((returns - scored["value"]) ** 2)
        loss = policy_loss + 0.5 * value_loss - 0.02 * jnp.mean(scored["entropy"])
        return loss, (new_state, steps)

    grads, (state, steps) = jax.grad(loss_fn, has_aux=True)(params)
    updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, state, steps


def success_rate(steps: dict) -> float:
    """Returns the share of finished episodes that ended at the reward."""
    return float(jnp.sum(steps["done"] & (steps["reward"] > 0)) / jnp.sum(steps["done"]))


def evaluate(params: Any, length: int) -> float:
    """Returns the success rate in corridors of one length."""
    lengths, run = jnp.array([length, length]), jax.jit(rollout)
    state = (new_mazes(jax.random.key(0), lengths), initial_carry())
    chunks = []
    for index in range(8 + length // 4):
        state, steps = run(params, state, jax.random.key(index), lengths)
        chunks.append(steps)
    return success_rate(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *chunks))


def main(steps: int = 600, max_length: int = 20) -> dict[int, float]:
    """Trains the policy; returns the success rate by corridor length."""
    lengths = jnp.array([1, max_length])
    params = CELL.init(jax.random.key(0), initial_carry(), jnp.zeros((NUM_ENVS, 4)))["params"]
    opt_state = OPTIMIZER.init(params)
    state = (new_mazes(jax.random.key(0), lengths), initial_carry())
    for step in range(steps):
        key = jax.random.key(step)
        params, opt_state, state, rolled = train_step(params, opt_state, state, key, lengths)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: success rate {success_rate(rolled):.2f}")
    rates = {length: evaluate(params, length) for length in (5, 10, 20, 40, 80)}
    for length, rate in rates.items():
        print(f"corridor length {length:3d}: success rate {rate:.2f}")
    return rates


if __name__ == "__main__":
    main()
