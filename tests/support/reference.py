"""Reference implementation of the NTM in float64 NumPy, written from the paper with scalar loops.

It shares no code with the package: sums are loops, the circular shift is the double sum of
equation 8, sharpening is a power. The letters are the paper's: M memory, w weighting, r read
vector, e erase vector, a add vector, k key, beta, g, s, gamma.
"""

import math

import numpy as np


def read(M, w):
    """Equation 2: r = sum_i w(i) M(i)."""
    slots, width = M.shape
    r = np.zeros(width)
    for i in range(slots):
        for c in range(width):
            r[c] += float(w[i]) * float(M[i, c])
    return r


def erase(M, w, e):
    """Equation 3: M~(i) = M(i) [1 - w(i) e]."""
    slots, width = M.shape
    erased = np.zeros((slots, width))
    for i in range(slots):
        for c in range(width):
            erased[i, c] = float(M[i, c]) * (1.0 - float(w[i]) * float(e[c]))
    return erased


def add(M, w, a):
    """Equation 4: M(i) = M~(i) + w(i) a."""
    slots, width = M.shape
    added = np.zeros((slots, width))
    for i in range(slots):
        for c in range(width):
            added[i, c] = float(M[i, c]) + float(w[i]) * float(a[c])
    return added


def write(M, ws, es, as_):
    """Section 3.2 with several heads: all erases, then all adds."""
    for head in range(len(ws)):
        M = erase(M, ws[head], es[head])
    for head in range(len(ws)):
        M = add(M, ws[head], as_[head])
    return M


def cosine(u, v):
    """Equation 6: K[u, v] = u . v / (|u| |v|); 0 for a zero vector."""
    dot = sum(float(x) * float(y) for x, y in zip(u, v, strict=True))
    norm_u = math.sqrt(sum(float(x) ** 2 for x in u))
    norm_v = math.sqrt(sum(float(y) ** 2 for y in v))
    return 0.0 if norm_u == 0.0 or norm_v == 0.0 else dot / (norm_u * norm_v)


def content_weights(M, k, beta):
    """Equation 5: w_c(i) = exp(beta K[k, M(i)]) / sum_j exp(beta K[k, M(j)])."""
    return softmax([float(beta) * cosine(k, row) for row in M])


def interpolate(w_content, w_previous, g):
    """Equation 7: w_g = g w_c + (1 - g) w_{t-1}."""
    return np.array(
        [
            float(g) * float(content) + (1.0 - float(g)) * float(previous)
            for content, previous in zip(w_content, w_previous, strict=True)
        ]
    )


def shift(w, s):
    """Equation 8: w~(i) = sum_j w(j) s(i - j), modulo N; the middle of s is shift 0."""
    slots, middle = len(w), len(s) // 2
    shifted = np.zeros(slots)
    for j in range(slots):
        for index in range(len(s)):
            shifted[(j + index - middle) % slots] += float(w[j]) * float(s[index])
    return shifted


def sharpen(w, gamma):
    """Equation 9: w(i) = w~(i)^gamma / sum_j w~(j)^gamma."""
    powers = [float(x) ** float(gamma) for x in w]
    return np.array([power / sum(powers) for power in powers])


def address(M, w_previous, k, beta, g, s, gamma):
    """Figure 2: content addressing, interpolation, shift, sharpening."""
    w_content = content_weights(M, k, beta)
    w_gated = interpolate(w_content, w_previous, g)
    return sharpen(shift(w_gated, s), gamma)


def sigmoid(x):
    return np.array([1.0 / (1.0 + math.exp(-float(v))) for v in np.ravel(x)]).reshape(np.shape(x))


def softplus(x):
    return math.log(1.0 + math.exp(float(x)))


def softmax(x):
    exponentials = [math.exp(float(v)) for v in x]
    return np.array([value / sum(exponentials) for value in exponentials])


def dense(x, layer):
    kernel, bias = np.asarray(layer["kernel"], float), np.asarray(layer["bias"], float)
    outputs = np.zeros(len(bias))
    for o in range(len(bias)):
        outputs[o] = bias[o] + sum(float(x[i]) * kernel[i, o] for i in range(len(x)))
    return outputs


def feed_forward(params, carry, x):
    """Tanh layers `Dense_0`, `Dense_1`, ..., from the input to the output."""
    for index in range(len(params)):
        x = np.tanh(dense(x, params[f"Dense_{index}"]))
    return carry, x


def lstm(params, carry, x):
    """LSTM without peepholes; one layer computes i, f, g and o, in this order."""
    c, h = carry
    raw = dense(np.concatenate([x, h]), params["Dense_0"])
    size = len(h)
    i, f = sigmoid(raw[:size]), sigmoid(raw[size : 2 * size])
    g, o = np.tanh(raw[2 * size : 3 * size]), sigmoid(raw[3 * size :])
    c = f * c + i * g
    h = o * np.tanh(c)
    return (c, h), h


def split_interface(raw, num_read_heads, num_write_heads, slot_width, max_shift):
    """Per head k, beta, g, gamma, s, read heads first; then all e, then all a."""
    position = 0

    def take(count):
        nonlocal position
        part = raw[position : position + count]
        position += count
        return part

    heads = []
    for _ in range(num_read_heads + num_write_heads):
        k = take(slot_width)
        beta, g = softplus(take(1)[0]), float(sigmoid(take(1))[0])
        gamma = 1.0 + softplus(take(1)[0])
        heads.append({"k": k, "beta": beta, "g": g, "gamma": gamma})
        heads[-1]["s"] = softmax(take(2 * max_shift + 1))
    es = [sigmoid(take(slot_width)) for _ in range(num_write_heads)]
    as_ = [take(slot_width) for _ in range(num_write_heads)]
    assert position == len(raw)
    return heads[:num_read_heads], heads[num_read_heads:], es, as_


def step(params, state, x, controller, slot_width, max_shift, output_from_reads=True):
    """One step of the NTM; returns the next state and the output.

    `state` is (controller carry, M, read weightings, write weightings, read vectors), and
    `controller` is `feed_forward` or `lstm`.
    """
    carry, M, w_reads, w_writes, reads = state[:5]
    carry, hidden = controller(params.get("controller", {}), carry, np.concatenate([x, *reads]))
    raw = dense(hidden, params["interface"])
    read_heads, write_heads, es, as_ = split_interface(
        raw, len(w_reads), len(w_writes), slot_width, max_shift
    )
    w_writes = [address(M, w, **head) for w, head in zip(w_writes, write_heads, strict=True)]
    M = write(M, w_writes, es, as_)
    w_reads = [address(M, w, **head) for w, head in zip(w_reads, read_heads, strict=True)]
    reads = [read(M, w) for w in w_reads]
    if output_from_reads:
        hidden = np.concatenate([hidden, *reads])
    return (carry, M, w_reads, w_writes, reads), dense(hidden, params["output"])


def sequence(params, state, xs, **options):
    """Runs all steps; returns the final state and the outputs of all steps."""
    outputs = []
    for x in xs:
        state, output = step(params, state, x, **options)
        outputs.append(output)
    return state, np.array(outputs)


def float64(tree):
    """Converts every array in a tree of dicts and tuples to float64 NumPy."""
    if isinstance(tree, dict):
        return {name: float64(subtree) for name, subtree in tree.items()}
    if isinstance(tree, tuple):
        return tuple(float64(subtree) for subtree in tree)
    return np.asarray(tree, np.float64)
