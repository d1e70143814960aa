import dataclasses
import functools
import io
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest
from support.tiny_config import tiny_config
from support.traces import random_example

from ntm_jax.cell import StepTrace
from ntm_jax.evaluation import TrainedModel, plots
from ntm_jax.heads import Interface
from ntm_jax.tasks.ngrams import Ngrams
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


@functools.cache
def example_with_answer(first_scored_step):
    """A random example of six steps, eight slots, two read heads and one write head."""
    example = jax.tree.map(np.asarray, random_example(num_slots=8, num_steps=6))
    return example._replace(mask=np.arange(6) >= first_scored_step)


def moving_example(path, first_scored_step):
    """An example whose heads have one-hot weightings on the slots of `path`, from slot 0."""
    example = example_with_answer(first_scored_step)
    weights = np.eye(8, dtype=np.float32)
    first = weights[[0]]
    initial = example.initial._replace(read_weights=first.repeat(2, 0), write_weights=first)
    rows = weights[path][:, None]
    steps = example.steps._replace(read_weights=rows.repeat(2, 1), write_weights=rows)
    return example._replace(steps=steps, initial=initial)


class TestPredictions:
    def test_titles_count_bit_errors(self):
        examples = {"length 10": predictions(10), "length 20": predictions(20, num_errors=3)}
        figure = plots.plot_predictions(examples, "NTM")
        assert list(panels(figure)) == [
            "length 10\nbit errors: 0 of 80",
            "length 20\nbit errors: 3 of 160",
        ]
        assert figure.get_suptitle() == "NTM"

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

    def test_steps_of_a_row_are_equally_wide(self):
        lengths = (10, 20, 40, 80, 120)
        examples = {f"length {length}": predictions(length) for length in lengths}
        figure = plots.plot_predictions(examples, "NTM")
        boxes = [axes.get_position() for axes in panels(figure).values()]
        widths = [box.width for box in boxes[:3]]
        np.testing.assert_allclose(widths, np.multiply(lengths[:3], widths[0] / 10))
        rows = [round(box.y0, 6) for box in boxes]
        assert rows[0] == rows[1] == rows[2] > rows[3] > rows[4]

    def test_rows_fill_the_width(self):
        lengths = (10, 20, 40, 80, 120)
        examples = {f"length {length}": predictions(length) for length in lengths}
        boxes = [
            axes.get_position() for axes in panels(plots.plot_predictions(examples, "NTM")).values()
        ]
        ends = [boxes[index].x1 for index in (2, 3, 4)]
        np.testing.assert_allclose(ends, ends[0], atol=0.02)
        assert ends[0] > 0.85

    def test_few_steps_give_a_narrow_figure(self):
        examples = {f"items {items}": predictions(3) for items in (2, 6)}
        figure = plots.plot_predictions(examples, "NTM")
        first, second = (axes.get_position() for axes in panels(figure).values())
        assert first.y0 == second.y0
        assert figure.get_figwidth() < 7

    def test_optimal_estimator_has_a_row(self):
        targets, outputs = predictions(9, num_errors=3, bits=1)
        # Two bits have a probability of 1/4, and cost 2 bits; seven have sqrt(1/2), 0.5 bits.
        optimal = np.abs(targets - np.where(np.arange(9)[:, None] < 2, 3 / 4, 1 - 0.5**0.5))
        figure = plots.plot_predictions({"length 9": (targets, outputs, optimal)}, "NTM")
        *_, last, _ = figure.axes
        ((_, counts),) = (title.split("\n") for title in panels(figure))
        assert counts.startswith("bit errors: 3 of 9 (Bayes-optimal: 2), cost: ")
        assert counts.endswith(" bits (Bayes-optimal: 7.5)")
        assert last.get_ylabel() == "optimal\nbit"
        np.testing.assert_array_equal(shown(last), optimal)
        assert {tuple(mark) for mark in last.lines[0].get_xydata()} == {(0, 0), (1, 0)}

    def test_legend_names_errors_if_there_are_any(self):
        for num_errors in (0, 2):
            figure = plots.plot_predictions({"length 6": predictions(6, num_errors)}, "NTM")
            texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
            assert texts == ["bit error"] * (num_errors > 0)

    def test_mark_leaves_the_output_visible(self):
        for length in (6, 100):
            figure = plots.plot_predictions({"": predictions(length, num_errors=2)}, "NTM")
            axes = figure.axes[1]
            (mark,) = axes.lines
            cell = axes.get_position().height * figure.get_figheight() * 72 / 8
            assert mark.get_fillstyle() == "full" and mark.get_markerfacecolor() == "none"
            assert mark.get_markersize() < cell

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
        assert axes.get_ylabel() == f"slot ({first + 32} to {end - 1} of 32)\nring: 31 is next to 0"
        numbers = [axes.yaxis.get_major_formatter()(slot) for slot in (-2, -1, 0, 1)]
        assert numbers == ["30", "31", "0", "1"]

    def test_uniform_weighting_shows_all_slots(self):
        inputs, outputs, trace = access(steps=7, slots=32)
        for weight in (0.001, 1 / 32):
            uniform = np.full_like(trace.read_weights, weight)
            uniform_trace = trace._replace(read_weights=uniform, write_weights=uniform)
            shows = panels(plots.plot_memory_access(inputs, outputs, uniform_trace, "NTM"))
            axes = shows["read weighting, head 0"]
            assert axes.get_ylabel() == "slot (all 32, a ring)"
            assert shown(axes).shape == (7, 32)

    def test_vectors_share_colors_around_zero(self):
        inputs, outputs, trace = access()
        figure = plots.plot_memory_access(inputs, outputs, trace, "NTM")
        limit = max(np.abs(trace.interface.add).max(), np.abs(trace.read_vectors).max())
        for name in ("add vectors, head 0", "read vectors, head 0"):
            assert panels(figure)[name].images[0].get_clim() == (-limit, limit)
        assert [axes.get_ylabel() for axes in figure.axes].count("value") == 3

    def test_outlier_does_not_set_the_colors(self):
        inputs, outputs, trace = access(steps=20)
        trace.read_vectors[3, 0, 2] = 70.0
        figure = plots.plot_memory_access(inputs, outputs, trace, "NTM")
        low, high = panels(figure)["read vectors, head 0"].images[0].get_clim()
        assert -low == high < 7
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert labels.count("value\n(largest: 70)") == 2

    def test_zero_is_black_with_negative_inputs(self):
        inputs, outputs, trace = access()
        inputs[:, 0], inputs[0, 0], inputs[1, 0] = 0.0, -0.5, 1.0
        image = panels(plots.plot_memory_access(inputs, outputs, trace, "NTM"))["inputs"].images[0]
        colors = image.to_rgba(np.array([[-1.0, 0.0, 1.0]]), bytes=True)[0, :, :3].astype(int)
        assert colors[1].max() < 4 and colors[2].min() == 255
        assert colors[0, 2] - colors[0, 0] > 100  # blue

    def test_unscored_outputs_are_hatched(self):
        for first, count in ((3, 1), (0, 0)):
            figure = plots.plot_memory_access(*access(), "NTM", first_scored_step=first)
            title = "outputs, not scored where hatched" if first else "outputs"
            spans = panels(figure)[title].patches
            assert len(spans) == count
            assert [(s.get_x(), s.get_width()) for s in spans] == [(-0.5, first)] * count

    def test_column_with_fewer_heads_is_filled(self):
        figure = plots.plot_memory_access(*access(reads=1, writes=2), "NTM")
        boxes = {name: axes.get_position() for name, axes in panels(figure).items()}
        left, right = boxes["write weighting, head 1"], boxes["read weighting, head 0"]
        assert left.y0 == pytest.approx(right.y0)
        assert right.height > 1.5 * left.height
        assert len({round(box.x0, 6) for box in boxes.values()}) == 2

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


class TestHeads:
    def test_rows_are_heads(self):
        figure = plots.plot_heads(example_with_answer(3), "NTM")
        labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
        assert labels == ["read head 0", "read head 1", "write head 0"]

    def test_lines_are_head_parameters(self):
        example = example_with_answer(3)
        axes = np.reshape(plots.plot_heads(example, "NTM").axes, (3, 4))
        for row, heads, head in (
            (0, example.steps.interface.read, 0),
            (1, example.steps.interface.read, 1),
            (2, example.steps.interface.write, 0),
        ):
            for column, name in enumerate(("gate", "strength", "sharpness")):
                drawn = axes[row, column].lines[0].get_ydata()
                np.testing.assert_array_equal(drawn, getattr(heads, name)[:, head])

    def test_entropy_axis_ends_at_log2_of_slots(self):
        axes = plots.plot_heads(example_with_answer(3), "NTM").axes[3]
        assert axes.get_title() == "entropy of the weighting (bits); 8 slots"
        assert 3 < axes.get_ylim()[1] < 3.2

    def test_answer_starts_at_dashed_line(self):
        example = example_with_answer(3)
        figure = plots.plot_heads(example, "NTM")
        for axes in figure.axes:
            assert axes.lines[-1].get_xdata()[0] == 2.5
        assert figure.get_supxlabel() == "time step (dashed line: first scored step)"


class TestMemory:
    def test_panels_show_memories_and_change(self):
        example = example_with_answer(3)
        figure = plots.plot_memory(example, "NTM")
        initial, memory = example.initial.memory, example.steps.memory
        expected = {
            "before step 0": initial,
            "before step 3, the first scored step": memory[2],
            "after step 5, the last step": memory[5],
            "change from step 3 to 5": memory[5] - memory[2],
        }
        drawn = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
        assert list(drawn) == list(expected)
        for title, array in expected.items():
            np.testing.assert_allclose(shown(drawn[title]).T, array, rtol=1e-6)
        assert len({axes.images[0].get_clim() for axes in drawn.values()}) == 1

    def test_triangles_mark_positions_of_heads(self):
        example = moving_example([1, 2, 3, 7, 0, 1], first_scored_step=4)
        figure = plots.plot_memory(example, "NTM")
        last, change = figure.axes[2:4]
        for line in last.lines[:2]:
            np.testing.assert_array_equal(line.get_ydata() % 8, [1])
        for line in change.lines[:2]:
            np.testing.assert_array_equal(np.sort(line.get_ydata() % 8), [0, 1])
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts == ["slot of a write head", "slot of a read head"]

    def test_all_steps_scored_gives_three_panels(self):
        figure = plots.plot_memory(example_with_answer(0), "NTM")
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        assert titles[0] == "before step 0, the first scored step"
        assert len(titles) == 3


class TestTraining:
    def figure(self, first_scored_step, steps=(10, 20, 30)):
        example = example_with_answer(first_scored_step)
        wrong = example._replace(outputs=1 - np.asarray(example.targets, float))
        examples = dict.fromkeys(steps, example) | {steps[0]: wrong}
        params = {"kernel": list(range(len(steps))), "bias": [0.5] * len(steps)}
        return example, plots.plot_training(examples, params, "NTM")

    def test_columns_are_training_steps(self):
        example, figure = self.figure(first_scored_step=3)
        panels = np.reshape(figure.subfigs[0].axes, (4, 3))
        errors = plots.bit_errors(np.asarray(example.outputs), np.asarray(example.targets))
        wrong = 3 * example.targets.shape[1]
        assert [axes.get_title() for axes in panels[0]] == [
            f"10 steps: {wrong} bit errors",
            *(f"{step} steps: {errors[3:].sum()} bit errors" for step in (20, 30)),
        ]
        labels = [axes.get_ylabel().split("\n")[0] for axes in panels[:, 0]]
        assert labels == ["outputs", "write head", "read head 0", "read head 1"]
        np.testing.assert_array_equal(shown(panels[2, 1]), example.steps.read_weights[:, 0])

    def test_lines_are_means_of_input_and_answer(self):
        example, figure = self.figure(first_scored_step=3)
        gates, entropies, norms = figure.subfigs[1].axes
        drawn = {line.get_label(): line for line in gates.lines if line.get_label()[0] != "_"}
        gate = np.asarray(example.steps.interface.read.gate)[:, 0]
        for label, mean in {
            "read, input": gate[:3].mean(),
            "read, answer": gate[3:].mean(),
        }.items():
            np.testing.assert_array_equal(drawn[label].get_xdata(), [10, 20, 30])
            np.testing.assert_allclose(drawn[label].get_ydata(), mean, rtol=1e-6)
        assert len(entropies.lines) == 6
        assert [line.get_label() for line in norms.lines] == ["kernel", "bias"]

    def test_all_steps_scored_has_no_input(self):
        _, figure = self.figure(first_scored_step=0)
        gates = figure.subfigs[1].axes[0]
        assert [text.get_text() for text in gates.get_legend().get_texts()] == [
            "read, answer",
            "write, answer",
        ]

    def test_at_most_six_training_steps_are_shown(self):
        _, figure = self.figure(first_scored_step=3, steps=range(1, 20))
        titles = [axes.get_title() for axes in figure.subfigs[0].axes if axes.get_title()]
        assert [int(title.split()[0]) for title in titles] == [1, 5, 8, 12, 15, 19]


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
        "import io, numpy, sys, ntm_jax.cell; assert not {'matplotlib', 'PIL'} & {*sys.modules}; "
        "import ntm_jax.evaluation.animation; "
        "from ntm_jax.evaluation.plots import plot_predictions; "
        "figure = plot_predictions({'': (numpy.eye(2), numpy.eye(2))}, ''); "
        "figure.savefig(io.BytesIO(), format='png'); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def untrained(model, checkpoint, num_slots=None, num_seeds=1):
    config = tiny_config(model)
    config.num_seeds = num_seeds
    experiment = Experiment.from_config(config)
    inputs = np.zeros((1, 1, experiment.task.input_features), np.float32)
    params = experiment.model.init(jax.random.key(0), inputs)["params"]
    return TrainedModel(
        model=experiment.model,
        params=jax.tree.map(lambda leaf: leaf[None], params),
        task=experiment.task,
        config=config,
        seeds=[6],
        sequences_to_solve=[None],
        num_slots=num_slots,
        checkpoint=checkpoint,
    )


def test_memory_access_needs_memory(tmp_path):
    trained = untrained("per_step_dense", checkpoint="run")
    files = plots.save_plots(trained, [(2,)], tmp_path / "plots", seed=0)
    assert files == [tmp_path / "plots/run_predictions.png"]
    assert files[0].exists()


def test_files_are_named_for_the_checkpoint(tmp_path):
    checkpoint = str(tmp_path / "runs/copy_ntm/checkpoints/3000")
    files = plots.save_plots(untrained("ntm", checkpoint, num_slots=8), [(2,)], tmp_path, seed=0)
    kinds = ("predictions", "memory_access", "heads", "memory")
    assert files == [tmp_path / f"copy_ntm_step3000_{kind}.png" for kind in kinds]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_files_of_ensembles_name_the_seed(tmp_path):
    trained = untrained("per_step_dense", "runs/many/checkpoints/12", num_seeds=4)
    files = plots.save_plots(trained, [(2,)], tmp_path, seed=0)
    assert files == [tmp_path / "many_step12_seed6_predictions.png"]


class Constant(nn.Module):
    """Outputs the same logit at every step."""

    @nn.compact
    def __call__(self, inputs):
        return self.param("logit", nn.initializers.zeros, ()) + 0.0 * inputs


def test_ngrams_have_the_optimal_estimator(tmp_path, monkeypatch):
    trained = dataclasses.replace(
        untrained("per_step_dense", "run"),
        task=Ngrams(context_length=2, max_length=12),
        model=Constant(),
        params={"logit": np.zeros(1, np.float32)},
    )
    drawn, plot = {}, plots.plot_predictions

    def plot_predictions(examples, title):
        drawn.update(examples)
        return plot(examples, title)

    monkeypatch.setattr(plots, "plot_predictions", plot_predictions)
    plots.save_plots(trained, [(12,)], tmp_path, seed=0)
    targets, outputs, optimal = drawn["length 12"]
    assert targets.shape == optimal.shape == (10, 1)
    np.testing.assert_array_equal(outputs, np.full((10, 1), 0.5))
    assert optimal[0, 0] == 0.5  # nothing has been counted at the first step
