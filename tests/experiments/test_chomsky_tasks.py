import itertools

import jax
import numpy as np
import pytest

from experiments import chomsky_tasks
from experiments.chomsky_tasks import CLOSE, EQUALS, MINUS, OPEN, PLUS, TIMES, UNKNOWN

CHARACTERS = {PLUS: "+", MINUS: "-", TIMES: "*", OPEN: "(", CLOSE: ")", UNKNOWN: "x", EQUALS: "="}


def text(symbols):
    return "".join(CHARACTERS.get(symbol, str(symbol)) for symbol in symbols)


def strings(task, max_length, num_per_length=20):
    """Yields the string, the scored answer and the string's length, for lengths from 1 on."""
    lengths = np.repeat(np.arange(1, max_length + 1), num_per_length)
    sample = jax.jit(task.sample_lengths, static_argnums=2)
    batch = jax.tree.map(np.asarray, sample(jax.random.key(0), lengths, max_length))
    for length, inputs, targets, mask in zip(lengths, *batch, strict=True):
        assert not inputs[:length, -1].any() and inputs[length:, -1].all()
        assert not inputs[length:, :-1].any() and not targets[~mask].any()
        assert (inputs.sum(axis=1) == 1).all() and (targets[mask].sum(axis=1) == 1).all()
        assert np.flatnonzero(mask)[0] == length and np.ptp(np.flatnonzero(mask)) + 1 == mask.sum()
        yield inputs[:length, :-1].argmax(axis=1).tolist(), targets[mask].argmax(axis=1).tolist()


def number(bits):
    return int("".join(map(str, reversed(bits))), 2)


def final_stack(symbols):
    stack = []
    for symbol in symbols:
        if symbol == 2:
            stack = stack[:-1]
        else:
            stack.append(symbol if symbol < 2 else symbol - 3)
    return [*reversed(stack), 2]


def product(symbols):
    if len(symbols) < 3:
        return [0] * (len(symbols) - 1) + [2]
    split = symbols.index(2)
    factors = number(symbols[:split]), number(symbols[split + 1 :])
    assert min(factors) > 0
    return [*map(int, reversed(f"{factors[0] * factors[1]:b}")), 2]


def square_root(symbols):
    value = number(symbols[::-1])
    assert value > 0
    root = next(n for n in range(value + 2) if n * n > value) - 1
    return [*map(int, f"{root:0{(len(symbols) + 1) // 2}b}")]


def solution(symbols):
    if len(symbols) < 3:
        assert not any(symbols)
        return [0]
    left, right = text(symbols).split("=")
    return [x for x in range(5) if eval(left.replace("x", str(x))) % 5 == int(right)]


# Each task with an independent solver in plain Python.
SOLVERS = {
    "ParityCheck": lambda s: [s.count(1) % 2],
    "EvenPairs": lambda s: [sum(a != b for a, b in itertools.pairwise(s)) % 2],
    "CycleNavigation": lambda s: [sum(move - 1 for move in s) % 5],
    "StackManipulation": final_stack,
    "ReverseString": lambda s: s[::-1],
    "ModularArithmetic": lambda s: [eval(text(s)) % 5],
    "SolveEquation": solution,
    "DuplicateString": lambda s: s + s,
    "BinaryMultiplication": product,
    "ComputeSqrt": square_root,
}
# The examples of the docstrings.
EXAMPLES = {
    "ParityCheck": ("10101", [1]),
    "EvenPairs": ("0101001", [1]),
    "CycleNavigation": ("0020", [3]),
    "StackManipulation": ("01124", [1, 1, 0, 2]),
    "ReverseString": ("0011", [1, 1, 0, 0]),
    "DuplicateString": ("011", [0, 1, 1, 0, 1, 1]),
    "BinaryMultiplication": ("001201101", [0, 0, 0, 1, 1, 0, 1, 2]),
    "ComputeSqrt": ("100101", [1, 1, 0]),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_answers_match_solver(name):
    task, answers = getattr(chomsky_tasks, name)(), set()
    for symbols, answer in strings(task, 24):
        assert answer == SOLVERS[name](symbols), text(symbols)
        answers.update(answer)
    assert answers == set(range(task.output_features))


@pytest.mark.parametrize("name", EXAMPLES)
def test_solvers_agree_with_docstrings(name):
    symbols, answer = EXAMPLES[name]
    assert SOLVERS[name]([*map(int, symbols)]) == answer


def test_expressions_have_all_forms():
    for task, operators in (("ModularArithmetic", "+-*"), ("SolveEquation", "+-")):
        seen = "".join(text(symbols) for symbols, _ in strings(getattr(chomsky_tasks, task)(), 20))
        assert set("01234()" + operators) <= set(seen)


def test_training_lengths_are_uniform():
    task = chomsky_tasks.ReverseString(max_length=10)
    batch = task.sample(jax.random.key(0), 5000)
    counts = np.bincount(np.asarray(batch.mask).sum(axis=1))[1:]
    assert (np.abs(counts - 500) < 110).all()  # five standard deviations
    assert batch.inputs.shape == (5000, 20, 3)


def test_invalid_lengths_raise():
    with pytest.raises(ValueError, match="expected 1 <= min_length <= max_length, got 3 and 2"):
        chomsky_tasks.ParityCheck(min_length=3, max_length=2)
