import io
import subprocess
import sys

import numpy as np
import pytest

from ntm_jax.evaluation import plots
from ntm_jax.cell import Step
from ntm_jax.heads import Interface


def panels(figure):
    """The axes that hold data, by title; colour bars have no title."""
    titled = {axes.get_title(loc="left"): axes for axes in figure.axes}
    titled.pop("", None)
    return titled


def shown(axes):
    (image,) = axes.images
    return np.asarray(image.get_array()).T


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def copied(length, wrong=0, bits=8):
    """Targets and probabilities of an answer of which `wrong` bits are wrong."""
    targets = np.random.default_rng(length).integers(0, 2, (length, bits)).astype(np.float32)
    outputs = 0.9 * targets + 0.05
    outputs.flat[:wrong] = 1 - outputs.flat[:wrong]
    return targets, outputs


def machine(steps=7, slots=32, reads=1, writes=1, width=5, start=3):
    """Inputs, outputs and the trace of heads that walk up from slot `start`."""
    rng = np.random.default_rng(0)
    walk = np.eye(slots, dtype=np.float32)[(start + np.arange(steps)) % slots]
    step = Step(
        interface=Interface(None, None, None, rng.normal(size=(steps, writes, width))),
        memory=np.zeros((steps, slots, width)),
        read_weights=np.repeat(walk[:, None], reads, axis=1),
        write_weights=np.repeat(walk[:, None], writes, axis=1),
        read_vectors=rng.normal(size=(steps, reads, width)),
    )
    return rng.random((steps, 9)), rng.random((steps, 8)), step


class TestAnswers:
    def test_titles_tell_the_size_and_the_wrong_bits(self):
        figure = plots.answers({"length 10": copied(10), "length 20": copied(20, wrong=3)}, "NTM")
        assert list(panels(figure)) == [
            "length 10\n0 of 80 bits wrong",
            "length 20\n3 of 160 bits wrong",
        ]
        assert figure.get_suptitle() == "NTM"

    def test_panels_show_what_was_given(self):
        examples = {f"length {length}": copied(length, wrong=2) for length in (4, 9)}
        *pairs, _ = plots.answers(examples, "NTM").axes
        given = [array for pair in examples.values() for array in pair]
        assert len(pairs) == len(given) == 4
        for axes, array in zip(pairs, given, strict=True):
            np.testing.assert_array_equal(shown(axes), array)
            assert axes.images[0].get_clim() == (0, 1)

    def test_marks_stand_on_the_wrong_bits_of_the_outputs(self):
        targets, outputs = copied(6)
        outputs[4, 7] = 1 - outputs[4, 7]
        outputs[2, 1] = np.nan
        above, below, _ = plots.answers({"length 6": (targets, outputs)}, "NTM").axes
        assert not above.lines
        assert {tuple(mark) for mark in below.lines[0].get_xydata()} == {(4, 7), (2, 1)}

    def test_an_output_of_one_half_counts_as_zero(self):
        targets = np.array([[0.0, 1.0]])
        figure = plots.answers({"length 1": (targets, np.full((1, 2), 0.5))}, "NTM")
        assert list(panels(figure)) == ["length 1\n1 of 2 bits wrong"]

    def test_width_is_proportional_to_length_and_short_ones_share_a_row(self):
        lengths = (10, 20, 40, 80, 120)
        figure = plots.answers({f"length {length}": copied(length) for length in lengths}, "NTM")
        boxes = [axes.get_position() for axes in panels(figure).values()]
        np.testing.assert_allclose([box.width / boxes[0].width * 10 for box in boxes], lengths)
        rows = [round(box.y0, 6) for box in boxes]
        assert rows[0] == rows[1] == rows[2] > rows[3] > rows[4]

    def test_nothing_overlaps_and_nothing_is_cropped(self):
        lengths = (10, 20, 40, 80, 120, 1, 300)
        examples = {f"length {length}": copied(length, wrong=8 * length) for length in lengths}
        figure = plots.answers(examples, "NTM")
        figure.canvas.draw()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        for index, box in enumerate(boxes):
            assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
            assert figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1)
            assert box.count_overlaps(boxes[:index]) == 0

    def test_axes_and_colour_bar_are_labelled(self):
        above, below, bar = plots.answers({"length 5": copied(5)}, "NTM").axes
        assert above.get_ylabel() == "targets\nbit"
        assert below.get_ylabel() == "outputs\nbit"
        assert below.get_xlabel() == "time step"
        assert bar.get_ylabel() == "probability of a 1"

    def test_refuses_what_it_cannot_draw(self):
        with pytest.raises(ValueError, match="at least one, got none"):
            plots.answers({}, "NTM")
        with pytest.raises(ValueError, match=r"examples\['length 3'\].*\(3, 8\) and \(4, 8\)"):
            plots.answers({"length 3": (np.zeros((3, 8)), np.zeros((4, 8)))}, "NTM")


class TestMemoryUse:
    def test_panels_show_what_was_given(self):
        inputs, outputs, step = machine()
        shows = panels(plots.memory_use(inputs, outputs, step, "NTM"))
        expected = {
            "inputs": inputs,
            "outputs": outputs,
            "write head 0: add vectors": step.interface.add[:, 0],
            "read head 0: read vectors": step.read_vectors[:, 0],
            "write head 0: weighting": step.write_weights[:, 0, 1:12],
            "read head 0: weighting": step.read_weights[:, 0, 1:12],
        }
        assert shows.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(shown(shows[name]), array)

    def test_only_used_slots_are_shown_and_keep_their_numbers(self):
        shows = panels(plots.memory_use(*machine(steps=7, slots=32, start=3), "NTM"))
        axes = shows["write head 0: weighting"]
        assert axes.get_ylabel() == "slot (1 to 11 of 32)"
        assert axes.get_ylim() == (0.5, 11.5)

    def test_a_focus_round_the_ring_is_shown_in_one_piece(self):
        inputs, outputs, step = machine(steps=7, slots=32, start=30)
        axes = panels(plots.memory_use(inputs, outputs, step, "NTM"))["write head 0: weighting"]
        first, end = (int(edge + 0.5) for edge in axes.get_ylim())
        assert first < 0 < end < 12
        expected = np.roll(np.asarray(step.write_weights[:, 0]), -first, axis=-1)[:, : end - first]
        np.testing.assert_array_equal(shown(axes), expected)

    def test_a_focus_on_no_slot_or_on_all_shows_all(self):
        inputs, outputs, step = machine(steps=7, slots=32)
        for weight in (0.001, 1 / 32):
            even = np.full_like(step.read_weights, weight)
            all_even = step._replace(read_weights=even, write_weights=even)
            shows = panels(plots.memory_use(inputs, outputs, all_even, "NTM"))
            axes = shows["read head 0: weighting"]
            assert axes.get_ylabel() == "slot (all 32)"
            assert shown(axes).shape == (7, 32)

    def test_signed_values_are_centred_on_zero(self):
        inputs, outputs, step = machine()
        shows = panels(plots.memory_use(inputs, outputs, step, "NTM"))
        for name, vectors in (
            ("write head 0: add vectors", step.interface.add),
            ("read head 0: read vectors", step.read_vectors),
        ):
            limit = np.abs(vectors).max()
            assert shows[name].images[0].get_clim() == (-limit, limit)

    def test_every_head_has_its_panels(self):
        inputs, outputs, step = machine(reads=3, writes=2)
        figure = plots.memory_use(inputs, outputs, step, "NTM")
        shows = panels(figure)
        assert len(shows) == 2 + 2 * 3 + 2 * 2
        for head in range(3):
            np.testing.assert_array_equal(
                shown(shows[f"read head {head}: read vectors"]), step.read_vectors[:, head]
            )
        np.testing.assert_array_equal(
            shown(shows["write head 1: add vectors"]), step.interface.add[:, 1]
        )
        assert png(figure)

    def test_axes_share_time_and_are_labelled(self):
        figure = plots.memory_use(*machine(steps=7, reads=2), "NTM", length=3)
        shows = panels(figure)
        for axes in shows.values():
            assert axes.get_xlim() == (-0.5, 6.5)
            assert axes.get_ylabel()
            assert axes.lines[0].get_xdata()[0] == 2.5
        for last in ("write head 0: weighting", "read head 1: weighting"):
            assert shows[last].get_xlabel() == "time step (line: after 3 steps)"
        bars = [axes.get_ylabel() for axes in figure.axes if axes not in shows.values()]
        assert len(bars) == len(shows) and all(bars)

    def test_refuses_a_batch_and_unequal_times(self):
        inputs, outputs, step = machine()
        with pytest.raises(ValueError, match=r"inputs \[T, I\].*\(1, 7, 9\)"):
            plots.memory_use(inputs[None], outputs, step, "NTM")
        with pytest.raises(ValueError, match=r"outputs \[T, O\] with T = 7.*\(6, 8\)"):
            plots.memory_use(inputs, outputs[:6], step, "NTM")


def test_figures_render_without_a_warning():
    """Every warning is an error here, as pyproject.toml says."""
    inputs, outputs, step = machine()
    quiet = step._replace(read_vectors=np.zeros_like(step.read_vectors))
    diverged = step._replace(read_vectors=np.full_like(step.read_vectors, np.nan))
    for figure in (
        plots.answers({"length 1": copied(1, bits=1), "length 130": copied(130, wrong=7)}, "NTM"),
        plots.memory_use(inputs, outputs, quiet, "NTM", length=3),
        plots.memory_use(inputs, outputs, diverged, "NTM"),
    ):
        assert png(figure).startswith(b"\x89PNG")


def test_pyplot_is_never_imported():
    script = (
        "import io, sys, numpy; from ntm_jax import plots;"
        "plots.answers({'': (numpy.eye(2), numpy.eye(2))}, '').savefig(io.BytesIO(), format='png');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
