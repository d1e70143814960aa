"""Tasks of "Neural Networks and the Chomsky Hierarchy" (Delétang et al., ICLR 2023).

A model reads a string of n symbols, one per step, and then answers while an additional input
channel is 1. One example of `ReverseString` (time runs down; `.` is 0):

    inputs         targets   mask
    1 . | .        . .        .
    . 1 | .        . .        .
    . . | 1        . 1        x
    . . | 1        1 .        x

Arithmetic is modulo 5. Numbers are binary, and start with the least significant bit unless stated
otherwise. Answers of variable length end with the symbol 2; what would follow is not scored.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.tasks.base import (
    FULL_RANGE,
    Batch,
    CategoricalTask,
    Size,
    SizeRange,
    SuccessThresholds,
    check_range,
    sample_uniform_int,
)

MODULUS = 5
PLUS, MINUS, TIMES, OPEN, CLOSE, UNKNOWN, EQUALS = range(MODULUS, MODULUS + 7)

Example = tuple[jax.Array, jax.Array, jax.Array | int]
Carry = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class ChomskyTask(CategoricalTask):
    """A task from strings of 1 to 40 symbols to strings.

    Subclasses define the class attributes and `example`, and `answer_length` unless answers have
    one symbol.

    Attributes:
      num_symbols: number of different symbols in a string.
      num_classes: number of different symbols in an answer.
      min_length: shortest string of the training, at least 1.
      max_length: longest string of the training, inclusive.
    """

    size_axes: ClassVar = {"length": (40,)}
    thresholds: ClassVar = SuccessThresholds(0.01, 0.01)
    num_symbols: ClassVar[int] = 2
    num_classes: ClassVar[int] = 2

    min_length: int = 1
    max_length: int = 40

    def __post_init__(self) -> None:
        check_range(self, "min_length", "max_length")

    @property
    def input_features(self) -> int:
        """The number of symbols, and a channel that asks for the answer."""
        return self.num_symbols + 1

    @property
    def output_features(self) -> int:
        """The number of symbols in an answer."""
        return self.num_classes

    @property
    def max_train_size(self) -> Size:
        """The maximum length."""
        return (self.max_length,)

    def answer_length(self, length: int) -> int:
        """Returns the length of the longest answer to strings of up to `length` symbols."""
        del length
        return 1

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples one example.

        Args:
          key: PRNG key.
          length: n, scalar.
          max_length: L, static; n is at most L.

        Returns:
          Symbols [L], the first n of them the string; answers [A]; the number of scored answers.
        """
        raise NotImplementedError

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples strings of random lengths, padded."""
        length_key, key = jax.random.split(key)
        bounds = self.min_length, self.max_length
        lengths = sample_uniform_int(length_key, (batch_size,), *bounds, size_range)
        return self.sample_lengths(key, lengths, self.max_length)

    def sample_size(self, key: jax.Array, batch_size: int, length: int) -> Batch:
        """Samples strings of one length."""
        self.check_size(length)
        return self.sample_lengths(key, jnp.full((batch_size,), length), length)

    def sample_lengths(self, key: jax.Array, lengths: jax.Array, max_length: int) -> Batch:
        """Samples a string of each length [B], padded to the steps of `max_length`."""

        def sample_one(key: jax.Array, length: jax.Array) -> Batch:
            symbols, answers, num_scored = self.example(key, length, max_length)
            steps = jnp.arange(max_length + self.answer_length(max_length))
            answer_step = steps - length
            in_string = jax.nn.one_hot(at(symbols, steps), self.num_symbols)
            inputs = jnp.where((answer_step < 0)[:, None], in_string, 0.0)
            asked = (answer_step >= 0).astype(inputs.dtype)[:, None]
            mask = (answer_step >= 0) & (answer_step < num_scored)
            targets = jax.nn.one_hot(at(answers, answer_step), self.num_classes)
            targets = jnp.where(mask[:, None], targets, 0.0)
            return Batch(jnp.concatenate([inputs, asked], axis=1), targets, mask)

        return jax.vmap(sample_one)(jax.random.split(key, len(lengths)), lengths)


# ---- Regular languages. ----


class ParityCheck(ChomskyTask):
    """Whether the number of ones is odd: 10101 -> 1."""

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples bits."""
        bits = random_symbols(key, length, max_length, 2)
        return bits, jnp.sum(bits, keepdims=True) % 2, 1


class EvenPairs(ChomskyTask):
    """Whether the number of 01 and 10 is odd: 0101001 -> 1; so is it if the ends differ."""

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples bits."""
        bits = random_symbols(key, length, max_length, 2)
        return bits, (bits[:1] != bits[length - 1]).astype(int), 1


class CycleNavigation(ChomskyTask):
    """The place after steps back (0), none (1) and forward (2) on a ring of 5: 0020 -> 3."""

    num_symbols, num_classes = 3, MODULUS

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples steps."""
        moves = random_symbols(key, length, max_length, 3)
        return moves, (jnp.sum(moves, keepdims=True) - length) % MODULUS, 1


# ---- Deterministic context-free languages. ----


class StackManipulation(ChomskyTask):
    """The stack, from its top, after push 0 (0, 3), push 1 (1, 4) and pop (2): 01124 -> 1102.

    The first symbols are the initial stack. Popping an empty stack has no effect.
    """

    num_symbols, num_classes = 5, 3

    def answer_length(self, length: int) -> int:
        """Returns one step per symbol and one for the end."""
        return length + 1

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples the number of initial symbols, and all symbols."""
        split_key, initial_key, action_key = jax.random.split(key, 3)
        places = jnp.arange(max_length)
        # A string of one symbol is a stack.
        num_initial = jax.random.randint(split_key, (), 1, jnp.maximum(length, 2))
        initial = jax.random.randint(initial_key, (max_length,), 0, 2)
        actions = jax.random.randint(action_key, (max_length,), 2, 5)
        symbols = jnp.where(places < num_initial, initial, actions)

        def step(carry: Carry, place: jax.Array) -> tuple[Carry, None]:
            stack, depth = carry
            symbol = symbols[place]
            popped = jnp.maximum(depth - 1, 0)
            pushed = stack.at[depth].set(jnp.where(symbol < 2, symbol, symbol - 3))
            is_pop, used = symbol == 2, place < length
            new_stack = jnp.where(used & ~is_pop, pushed, stack)
            return (new_stack, jnp.where(used, jnp.where(is_pop, popped, depth + 1), depth)), None

        start = jnp.zeros(max_length, int), jnp.zeros((), int)
        (stack, depth), _ = jax.lax.scan(step, start, places)
        steps = jnp.arange(max_length + 1)
        answer = jnp.where(steps < depth, at(stack, depth - 1 - steps), 2)
        return symbols, answer, depth + 1


class ReverseString(ChomskyTask):
    """The string backwards: 0011 -> 1100."""

    def answer_length(self, length: int) -> int:
        """Returns the length of the string."""
        return length

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples bits."""
        bits = random_symbols(key, length, max_length, 2)
        return bits, at(bits, length - 1 - jnp.arange(max_length)), length


class ModularArithmetic(ChomskyTask):
    """The value of an expression with brackets: ((1+2)*(-3)) -> 1."""

    num_symbols, num_classes = CLOSE + 1, MODULUS

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples an expression."""
        symbols = random_expression(key, length, max_length, (PLUS, MINUS, TIMES))
        return symbols, expression_value(symbols, length)[None], 1


class SolveEquation(ChomskyTask):
    """The digit that x stands for: (x-(2))=4 -> 1. Strings of less than 3 symbols are 0 -> 0."""

    num_symbols, num_classes = EQUALS + 1, MODULUS

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples an expression, and which digit to replace."""
        expression_key, place_key = jax.random.split(key)
        num_left = jnp.maximum(length - 2, 1)
        # Without products, each equation has one solution.
        symbols = random_expression(expression_key, num_left, max_length, (PLUS, MINUS))
        value = expression_value(symbols, num_left)
        places = jnp.arange(max_length)
        is_digit = (symbols < MODULUS) & (places < num_left)
        # The first digit at a random place or after it, around the end.
        start = jax.random.randint(place_key, (), 0, num_left)
        unknown = jnp.argmin(jnp.where(is_digit, (places - start) % num_left, max_length))
        equation = jnp.where(places == unknown, UNKNOWN, symbols)
        equation = jnp.where(places == length - 2, EQUALS, equation)
        equation = jnp.where(places == length - 1, value, equation)
        valid = length >= 3
        return jnp.where(valid, equation, 0), jnp.where(valid, symbols[unknown], 0)[None], 1


# ---- Context-sensitive languages. ----


class DuplicateString(ChomskyTask):
    """The string twice: 011 -> 011011."""

    def answer_length(self, length: int) -> int:
        """Returns twice the length of the string."""
        return 2 * length

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples bits."""
        bits = random_symbols(key, length, max_length, 2)
        return bits, at(bits, jnp.arange(2 * max_length) % length), 2 * length


class BinaryMultiplication(ChomskyTask):
    """The product of two numbers, and 2 after its last 1: 001201101 (4 * 22) -> 00011012."""

    num_symbols, num_classes = 3, 3

    def answer_length(self, length: int) -> int:
        """Returns the length of the string; the product and its end are no longer."""
        return length

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples the lengths of both numbers, and their bits; neither number is 0."""
        split_key, bits_key, *one_keys = jax.random.split(key, 4)
        places = jnp.arange(max_length)
        split = jax.random.randint(split_key, (), 1, jnp.maximum(length - 1, 2))
        bits = jax.random.randint(bits_key, (max_length,), 0, 2)
        ranges = [places < split, (places > split) & (places < length)]
        for one_key, inside in zip(one_keys, ranges, strict=True):
            # A number that is 0 gets a 1 at a random place.
            place = jnp.argmax(jnp.where(inside, jax.random.uniform(one_key, places.shape), -1.0))
            is_zero = jnp.sum(jnp.where(inside, bits, 0)) == 0
            bits = jnp.where(inside & is_zero & (places == place), 1, bits)
        first = jnp.where(ranges[0], bits, 0)
        second = jnp.roll(jnp.where(ranges[1], bits, 0), -split - 1)
        # Digits of the product that are not yet carried.
        factors = first.astype(jnp.float32), second.astype(jnp.float32)
        digits = jnp.convolve(*factors)[:max_length].astype(int)

        def carry(carried: jax.Array, digit: jax.Array) -> tuple[jax.Array, jax.Array]:
            total = carried + digit
            return total // 2, total % 2

        _, product = jax.lax.scan(carry, jnp.zeros((), int), digits)
        num_bits = jnp.max(jnp.where(product > 0, places + 1, 0))
        # Strings of one or two symbols hold no two numbers: any bits -> the end, 0 and the end.
        valid = length >= 3
        num_bits = jnp.where(valid, num_bits, length - 1)
        answer = jnp.where(places < num_bits, jnp.where(valid, product, 0), 2)
        return jnp.where((places == split) & valid, 2, bits), answer, num_bits + 1


class ComputeSqrt(ChomskyTask):
    """The square root, rounded down; most significant bit first: 100101 (37) -> 110 (6)."""

    def answer_length(self, length: int) -> int:
        """Returns half the length of the string, rounded up."""
        return (length + 1) // 2

    def example(self, key: jax.Array, length: jax.Array, max_length: int) -> Example:
        """Samples the bits of a number above 0."""
        bits_key, one_key = jax.random.split(key)
        bits = random_symbols(bits_key, length, max_length, 2)
        place = jax.random.randint(one_key, (), 0, length)
        bits = jnp.where((jnp.sum(bits) == 0) & (jnp.arange(max_length) == place), 1, bits)
        num_steps = self.answer_length(max_length)

        # Digit by digit, as on paper. `rest` and `root` start with the least significant bit.
        def step(carry: Carry, index: jax.Array) -> tuple[Carry, jax.Array]:
            rest, root = carry
            first = 2 * index - length % 2  # place of the next two bits; an odd length starts at -1
            used = first < length
            pair = at(bits, first + 1), jnp.where(first < 0, 0, at(bits, first))
            rest = jnp.concatenate([jnp.stack(pair), rest[:-2]])
            trial = jnp.concatenate([jnp.array([1, 0]), root[:-2]])  # 4 root + 1
            difference, borrow = subtract(rest, trial)
            fits = borrow == 0
            root = jnp.concatenate([fits.astype(int)[None], root[:-1]])
            new = jnp.where(fits, difference, rest), root
            return jax.tree.map(lambda x, y: jnp.where(used, x, y), new, carry), fits.astype(int)

        zero = jnp.zeros(num_steps + 3, int)
        _, answer = jax.lax.scan(step, (zero, zero), jnp.arange(num_steps))
        return bits, answer, (length + 1) // 2


# ---- What several tasks share. ----


def at(values: jax.Array, indices: jax.Array) -> jax.Array:
    """Returns values [N] at the indices, each moved into the range from 0 to N - 1."""
    return values[jnp.clip(indices, 0, len(values) - 1)]


def random_symbols(
    key: jax.Array, length: jax.Array, max_length: int, num_symbols: int
) -> jax.Array:
    """Samples symbols [max_length], 0 from `length` on."""
    symbols = jax.random.randint(key, (max_length,), 0, num_symbols)
    return jnp.where(jnp.arange(max_length) < length, symbols, 0)


def subtract(minuend: jax.Array, subtrahend: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the difference of two numbers [N], least significant bit first, and its borrow."""

    def step(borrow: jax.Array, bits: Carry) -> tuple[jax.Array, jax.Array]:
        difference = bits[0] - bits[1] - borrow
        return (difference < 0).astype(int), difference % 2

    borrow, difference = jax.lax.scan(step, jnp.zeros((), int), (minuend, subtrahend))
    return difference, borrow


def random_expression(
    key: jax.Array, length: jax.Array, max_length: int, operators: tuple[int, ...]
) -> jax.Array:
    """Samples an expression of `length` symbols, padded to [max_length].

    Expressions of 1 to 4 symbols are d, -d, (d) and (-d) with a random digit d; longer ones are
    (LEFT operator RIGHT) with expressions of random lengths.
    """
    # A stack of what is still to be written: a symbol s as -1 - s, an expression as its length.
    digit, operator = CLOSE + 1, CLOSE + 2
    # What each kind of expression starts with, and what follows it.
    forms = [(digit,), (MINUS, digit), (OPEN, digit, CLOSE), (OPEN, MINUS, digit, CLOSE)]
    first = jnp.array([form[0] for form in forms] + [OPEN])
    followers = jnp.array(
        [[-1 - symbol for symbol in reversed(form[1:])] + [0] * (5 - len(form)) for form in forms]
        + [[-1 - CLOSE, 0, -1 - operator, 0]]
    )
    num_followers = jnp.array([0, 1, 2, 3, 4])
    operator_symbols = jnp.array(operators)

    def step(carry: Carry, inputs: tuple[jax.Array, jax.Array]) -> tuple[Carry, jax.Array]:
        stack, depth = carry
        place, key = inputs
        split_key, digit_key, operator_key = jax.random.split(key, 3)
        top, used = stack[depth - 1], place < length
        form = jnp.clip(top, 1, 5) - 1
        left = jax.random.randint(split_key, (), 1, jnp.maximum(top - 3, 2))
        pushed = jnp.where(
            form == 4, followers[4].at[1].set(top - 3 - left).at[3].set(left), followers[form]
        )
        expanded = jax.lax.dynamic_update_slice(stack, pushed, (depth - 1,))
        is_symbol = top < 0
        stack = jnp.where(is_symbol, stack, expanded)
        depth = depth - 1 + jnp.where(is_symbol, 0, num_followers[form])
        symbol = jnp.where(is_symbol, -1 - top, first[form])
        random_digit = jax.random.randint(digit_key, (), 0, MODULUS)
        random_operator = operator_symbols[jax.random.randint(operator_key, (), 0, len(operators))]
        symbol = jnp.where(symbol == digit, random_digit, symbol)
        symbol = jnp.where(symbol == operator, random_operator, symbol)
        new = stack, depth
        return jax.tree.map(lambda x, y: jnp.where(used, x, y), new, carry), jnp.where(
            used, symbol, 0
        )

    stack = jnp.zeros(max_length + 4, int).at[0].set(length)
    keys = jax.random.split(key, max_length)
    _, symbols = jax.lax.scan(step, (stack, jnp.ones((), int)), (jnp.arange(max_length), keys))
    return symbols


def expression_value(symbols: jax.Array, length: jax.Array) -> jax.Array:
    """Returns the value of an expression of `length` symbols, modulo 5, scalar."""
    max_length = len(symbols)
    is_operand = (symbols < MODULUS) | (symbols == CLOSE)
    # A minus that follows no operand is the sign of the digit after it.
    is_sign = (symbols == MINUS) & ~jnp.concatenate([jnp.array([False]), is_operand[:-1]])
    is_operator = (symbols >= PLUS) & (symbols <= TIMES) & ~is_sign
    is_negative = jnp.concatenate([jnp.array([False]), is_sign[:-1]])

    def step(carry: tuple[jax.Array, ...], place: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        # For each open bracket, and outside of all, the value so far and the pending operator.
        values, operators, depth = carry
        symbol = symbols[place]
        outer = jnp.where(symbol == CLOSE, depth - 1, depth)
        operand = jnp.where(symbol == CLOSE, values[depth], symbol)
        operand = jnp.where(is_negative[place], -operand, operand)
        left, pending = values[outer], operators[outer]
        result = jnp.where(
            pending == PLUS,
            left + operand,
            jnp.where(pending == MINUS, left - operand, left * operand),
        )
        inner = jnp.where(symbol == OPEN, depth + 1, outer)
        value = jnp.where(
            is_operand[place], result % MODULUS, jnp.where(symbol == OPEN, 0, values[inner])
        )
        operator = jnp.where(
            is_operator[place], symbol, jnp.where(symbol == OPEN, PLUS, operators[inner])
        )
        new = values.at[inner].set(value), operators.at[inner].set(operator), inner
        used = place < length
        return jax.tree.map(lambda x, y: jnp.where(used, x, y), new, carry), None

    empty = jnp.zeros(max_length + 1, int)
    start = empty, jnp.full(max_length + 1, PLUS), jnp.zeros((), int)
    (values, _, _), _ = jax.lax.scan(step, start, jnp.arange(max_length))
    return values[0]
