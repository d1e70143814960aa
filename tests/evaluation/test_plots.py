import io
import subprocess
import sys

import jax
import numpy as np
import pytest
from support.tiny_config import tiny_config

from ntm_jax.cell import StepTrace
from ntm_jax.evaluation import TrainedModel, plots
from ntm_jax.heads import Interface
from ntm_jax.training.experiment import Experiment


def panels(figure):
    """The axes with data, by title; color bars have no title."""
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


def predictions(length, num_errors=0, bits=8):
    """Targets, and output probabilities with `num_errors` bit errors."""
    targets = np.random.default_rng(length).integers(0, 2, (length, bits)).astype(np.float32)
    outputs = 0.9 * targets + 0.05
    outputs.flat[:num_errors] = 1 - outputs.flat[:num_errors]
    return targets, outputs


def access(steps=7, slots=32, reads=1, writes=1, width=5, start=3):
    """Inputs, outputs, and the trace of heads that shift by one slot per step from `start`."""
    rng = np.random.default_rng(0)
    weights = np.eye(slots, dtype=np.float32)[(start + np.arange(steps)) % slots]
    trace = StepTrace(
        interface=Interface(None, None, None, rng.normal(size=(steps, writes, width))),
        memory=np.zeros((steps, slots, width)),
        read_weights=np.repeat(weights[:, None], reads, axis=1),
        write_weights=np.repeat(weights[:, None], writes, axis=1),
        read_vectors=rng.normal(size=(steps, reads, width)),
    )
    return rng.random((steps, 9)), rng.random((steps, 8)), trace


class TestPredictions:
    def test_titles_count_bit_errors(self):
        examples = {"length 10": predictions(10), "length 20": predictions(20, num_errors=3)}
        figure = plots.plot_predictions(examples, "NTM")
        assert list(panels(figure)) == [
            "length 10\nbit errors: 0 of 80",
            "length 20\nbit errors: 3 of 160",
        ]
        assert figure.get_suptitle() == "NTM"

    def test_legend_is_drawn_with_errors_only(self):
        for num_errors in (0, 1):
            examples = {"length 5": predictions(5, num_errors)}
            assert len(plots.plot_predictions(examples, "NTM").legends) == num_errors

    def test_panels_show_arrays(self):
        examples = {f"length {length}": predictions(length, num_errors=2) for length in (4, 9)}
        *pairs, _ = plots.plot_predictions(examples, "NTM").axes
        expected = [array for pair in examples.values() for array in pair]
        for axes, array in zip(pairs, expected, strict=True):
            np.testing.assert_array_equal(shown(axes), array)
            assert axes.images[0].get_clim() == (0, 1)

    def test_bit_errors_are_marked(self):
        targets, outputs = predictions(6)
        outputs[4, 7] = 1 - outputs[4, 7]
        outputs[2, 1] = np.nan
        above, below, _ = plots.plot_predictions({"length 6": (targets, outputs)}, "NTM").axes
        assert not above.lines
        assert {tuple(mark) for mark in below.lines[0].get_xydata()} == {(4, 7), (2, 1)}

    def test_output_of_one_half_counts_as_zero(self):
        targets = np.array([[0.0, 1.0]])
        figure = plots.plot_predictions({"length 1": (targets, np.full((1, 2), 0.5))}, "NTM")
        assert list(panels(figure)) == ["length 1\nbit errors: 1 of 2"]

    def test_width_is_proportional_to_length(self):
        lengths = (10, 20, 40, 80, 120)
        examples = {f"length {length}": predictions(length) for length in lengths}
        figure = plots.plot_predictions(examples, "NTM")
        boxes = [axes.get_position() for axes in panels(figure).values()]
        np.testing.assert_allclose([box.width / boxes[0].width * 10 for box in boxes], lengths)
        rows = [round(box.y0, 6) for box in boxes]
        assert rows[0] == rows[1] == rows[2] > rows[3] > rows[4]

    def test_panels_neither_overlap_nor_overflow(self):
        lengths = (10, 20, 40, 80, 120, 1, 300)
        figure = plots.plot_predictions(
            {f"length {length}": predictions(length, num_errors=8 * length) for length in lengths},
            "NTM",
        )
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        for index, box in enumerate(boxes):
            assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
            assert figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1)
            assert box.count_overlaps(boxes[:index]) == 0

    def test_axes_are_labeled(self):
        above, below, bar = plots.plot_predictions({"length 5": predictions(5)}, "NTM").axes
        assert above.get_ylabel() == "targets\nbit"
        assert below.get_ylabel() == "outputs\nbit"
        assert below.get_xlabel() == "time step"
        assert bar.get_ylabel() == "probability of a 1"

    def test_invalid_examples_raise(self):
        with pytest.raises(ValueError, match="at least one, got none"):
            plots.plot_predictions({}, "NTM")
        with pytest.raises(ValueError, match=r"examples\['length 3'\].*\(3, 8\) and \(4, 8\)"):
            plots.plot_predictions({"length 3": (np.zeros((3, 8)), np.zeros((4, 8)))}, "NTM")


class TestMemoryAccess:
    def test_panels_show_arrays(self):
        inputs, outputs, trace = access()
        shows = panels(plots.plot_memory_access(inputs, outputs, trace, "NTM"))
        expected = {
            "inputs": inputs,
            "outputs": outputs,
            "add vectors, head 0": trace.interface.add[:, 0],
            "read vectors, head 0": trace.read_vectors[:, 0],
            "write weighting, head 0": trace.write_weights[:, 0, 1:12],
            "read weighting, head 0": trace.read_weights[:, 0, 1:12],
        }
        assert shows.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(shown(shows[name]), array)

    def test_unused_slots_are_left_out(self):
        shows = panels(plots.plot_memory_access(*access(steps=7, slots=32, start=3), "NTM"))
        axes = shows["write weighting, head 0"]
        assert axes.get_ylabel() == "slot (1 to 11 of 32)"
        assert axes.get_ylim() == (0.5, 11.5)

    def test_slot_range_wraps_around(self):
        inputs, outputs, trace = access(steps=7, slots=32, start=30)
        shows = panels(plots.plot_memory_access(inputs, outputs, trace, "NTM"))
        axes = shows["write weighting, head 0"]
        first, end = (int(edge + 0.5) for edge in axes.get_ylim())
        assert first < 0 < end < 12
        expected = np.roll(np.asarray(trace.write_weights[:, 0]), -first, axis=-1)[:, : end - first]
        np.testing.assert_array_equal(shown(axes), expected)

    def test_uniform_weighting_shows_all_slots(self):
        inputs, outputs, trace = access(steps=7, slots=32)
        for weight in (0.001, 1 / 32):
            uniform = np.full_like(trace.read_weights, weight)
            uniform_trace = trace._replace(read_weights=uniform, write_weights=uniform)
            shows = panels(plots.plot_memory_access(inputs, outputs, uniform_trace, "NTM"))
            axes = shows["read weighting, head 0"]
            assert axes.get_ylabel() == "slot (all 32)"
            assert shown(axes).shape == (7, 32)

    def test_color_of_zero_is_the_center(self):
        inputs, outputs, trace = access()
        shows = panels(plots.plot_memory_access(inputs, outputs, trace, "NTM"))
        for name, vectors in (
            ("add vectors, head 0", trace.interface.add),
            ("read vectors, head 0", trace.read_vectors),
        ):
            limit = np.quantile(np.abs(vectors), 0.99)
            assert shows[name].images[0].get_clim() == (-limit, limit)

    def test_outlier_leaves_other_colors(self):
        inputs, outputs, trace = access(steps=50)
        reads = np.full_like(trace.read_vectors, 0.5)
        reads[7, 0, 2] = 1000.0
        figure = plots.plot_memory_access(
            inputs, outputs, trace._replace(read_vectors=reads), "NTM"
        )
        limit = panels(figure)["read vectors, head 0"].images[0].get_clim()[1]
        assert limit == 0.5
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert "value; 0.4% beyond" in labels  # one of 250

    def test_slots_are_counted_around_the_ring(self):
        figure = plots.plot_memory_access(*access(steps=7, slots=32, start=30), "NTM")
        axes = panels(figure)["write weighting, head 0"]
        assert axes.get_ylabel() == "slot (28 to 6 of 32, a ring)"
        figure.canvas.draw()
        labels = [label.get_text() for label in axes.get_yticklabels()]
        ticks = dict(zip(axes.get_yticks(), labels, strict=True))
        assert ticks[-2.0] == "30"
        assert ticks[4.0] == "4"

    def test_outputs_before_the_answer_are_gray(self):
        figure = plots.plot_memory_access(*access(), "NTM", first_scored_step=3)
        (span,) = panels(figure)["outputs (gray: not scored)"].patches
        assert (span.get_x(), span.get_width()) == (-0.5, 3.0)
        assert not panels(figure)["inputs"].patches

    def test_every_head_has_panels(self):
        inputs, outputs, trace = access(reads=3, writes=2)
        figure = plots.plot_memory_access(inputs, outputs, trace, "NTM")
        shows = panels(figure)
        assert len(shows) == 2 + 2 * 3 + 2 * 2
        for head in range(3):
            axes = shows[f"read vectors, head {head}"]
            np.testing.assert_array_equal(shown(axes), trace.read_vectors[:, head])
        axes = shows["add vectors, head 1"]
        np.testing.assert_array_equal(shown(axes), trace.interface.add[:, 1])
        assert png(figure)

    def test_axes_share_time_and_are_labeled(self):
        figure = plots.plot_memory_access(*access(steps=7, reads=2), "NTM", first_scored_step=3)
        shows = panels(figure)
        for axes in shows.values():
            assert axes.get_xlim() == (-0.5, 6.5)
            assert axes.get_ylabel()
            assert axes.lines[0].get_xdata()[0] == 2.5
        for last in ("write weighting, head 0", "read weighting, head 1"):
            assert shows[last].get_xlabel() == "time step (dashed line: first scored step)"
        bars = [axes.get_ylabel() for axes in figure.axes if axes not in shows.values()]
        assert len(bars) == len(shows) and all(bars)

    def test_invalid_shapes_raise(self):
        inputs, outputs, trace = access()
        with pytest.raises(ValueError, match=r"inputs \[T, I\].*\(1, 7, 9\)"):
            plots.plot_memory_access(inputs[None], outputs, trace, "NTM")
        with pytest.raises(ValueError, match=r"outputs \[T, O\] with T = 7.*\(6, 8\)"):
            plots.plot_memory_access(inputs, outputs[:6], trace, "NTM")


def test_figures_render_without_warnings():
    inputs, outputs, trace = access()
    zeros = trace._replace(read_vectors=np.zeros_like(trace.read_vectors))
    nans = trace._replace(read_vectors=np.full_like(trace.read_vectors, np.nan))
    examples = {"length 1": predictions(1, bits=1), "length 130": predictions(130, num_errors=7)}
    for figure in (
        plots.plot_predictions(examples, "NTM"),
        plots.plot_memory_access(inputs, outputs, zeros, "NTM", first_scored_step=3),
        plots.plot_memory_access(inputs, outputs, nans, "NTM"),
    ):
        assert png(figure).startswith(b"\x89PNG")


def test_pyplot_is_not_imported():
    script = (
        "import io, numpy, sys; from ntm_jax.evaluation.plots import plot_predictions; "
        "figure = plot_predictions({'': (numpy.eye(2), numpy.eye(2))}, ''); "
        "figure.savefig(io.BytesIO(), format='png'); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_memory_access_needs_memory(tmp_path):
    config = tiny_config("per_step_dense")
    experiment = Experiment.from_config(config)
    inputs = np.zeros((1, 1, experiment.task.input_features), np.float32)
    params = experiment.model.init(jax.random.key(0), inputs)["params"]
    trained = TrainedModel(
        model=experiment.model,
        params=jax.tree.map(lambda leaf: leaf[None], params),
        task=experiment.task,
        config=config,
        seeds=[0],
        sequences_to_solve=[None],
        num_slots=None,
        checkpoint="run",
    )
    files = plots.save_plots(trained, [(2,)], tmp_path / "plots", seed=0)
    assert files == [tmp_path / "plots/predictions.png"]
    assert files[0].exists()
