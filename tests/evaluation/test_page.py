"""The page that runs a trained NTM: its file, and its behaviour in headless Chromium."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.browser import browser, needs_browser, open_page

from ntm_jax import LSTM, NTM, FeedForward, NTMCell, Stack, models
from ntm_jax.evaluation import TrainedModel, page
from ntm_jax.pretrained import load_model
from ntm_jax.tasks.copy import Copy

SIZES = {
    "copy_ntm": (20,),
    "copy_ntm_lstm": (20,),
    "repeat_copy_ntm": (5, 4),
    "associative_recall_ntm": (6,),
    "ngrams_ntm": (50,),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The page of each pretrained model, by its name."""
    directory, paths = tmp_path_factory.mktemp("pages"), {}
    for name, size in SIZES.items():
        paths[name] = directory / f"{name}.html"
        page.write_page(load_model(name), size, paths[name], seed=1)
    return paths


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


def trained_copy(cell, **fields):
    task, model = Copy(), NTM(cell, **fields)
    params = model.init(jax.random.key(0), jnp.zeros((1, 1, task.input_features)))["params"]
    params = jax.tree.map(lambda leaf: leaf[None], params)
    config = {"task": {"name": "copy"}, "model": {"name": "ntm"}}
    return TrainedModel(model, params, task, config, [0], [None], cell.num_slots, "run")


def test_page_of_40_vectors_is_under_2_mb(tmp_path):
    for name in ("copy_ntm", "copy_ntm_lstm"):
        page.write_page(load_model(name), (40,), tmp_path / "page.html", seed=1)
        assert (tmp_path / "page.html").stat().st_size < 2_000_000


def test_page_refers_to_no_other_file(files):
    for path in files.values():
        text = path.read_text()
        assert "{{" not in text
        assert not re.search(r"https?://|\b(src|href)=|@import|url\(", text)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (NTMCell(8, Stack((LSTM(4), LSTM(4)))), "expected a controller FeedForward or LSTM"),
        (NTMCell(8, FeedForward((4,), activation=nn.elu)), "expected an activation out of tanh"),
        (NTMCell(8, LSTM(4), output_activation=nn.sigmoid), "without output_activation"),
    ],
)
def test_other_models_are_refused(tmp_path, cell, message):
    with pytest.raises(ValueError, match=message):
        page.write_page(trained_copy(cell), (3,), tmp_path / "page.html", seed=0)
    assert not list(tmp_path.iterdir())


def assert_agrees(tab, trained, num_slots, inputs):
    """Compares the model in the page with JAX, on inputs [B, T, I]."""
    model = trained.model
    model = model.clone(cell=model.cell.clone(num_slots=num_slots))
    logits, step = models.trace(model, trained.first_params, inputs)
    weights = np.concatenate([step.read_weights, step.write_weights], axis=2)
    # The weightings of the last step depend on all steps before it.
    script = """([inputs, slots]) => {
      const steps = window.ntm.run(inputs, slots);
      return [steps.map((step) => [...step.outputs]),
        steps.at(-1).heads.map((head) => [...head.weights])];
    }"""
    for example, sequence in enumerate(inputs):
        outputs, last_weights = tab.evaluate(script, [np.asarray(sequence).tolist(), num_slots])
        np.testing.assert_allclose(outputs, jax.nn.sigmoid(logits[example]), atol=1e-4)
        np.testing.assert_allclose(last_weights, weights[example, -1], atol=1e-4)


@needs_browser
@pytest.mark.parametrize("name", SIZES)
def test_model_agrees_with_jax(chromium, files, name):
    trained = load_model(name)
    batch = trained.task.sample_size(jax.random.key(2), 2, *SIZES[name])
    with open_page(chromium, files[name]) as tab:
        assert_agrees(tab, trained, trained.num_slots, batch.inputs)


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("name", ["copy_ntm", "copy_ntm_lstm"])
def test_model_agrees_on_200_sequences(chromium, files, name):
    trained = load_model(name)
    with open_page(chromium, files[name]) as tab:
        for length in (1, 10, 40, 80, 120):
            for num_slots in (128, 512):
                key = jax.random.key(length)
                batch = trained.task.sample_size(key, 20, length)
                assert_agrees(tab, trained, num_slots, batch.inputs)


@needs_browser
@pytest.mark.parametrize("name", list(SIZES)[:4])
def test_encoding_agrees_with_the_task(chromium, files, name):
    trained = load_model(name)
    with open_page(chromium, files[name]) as tab:
        encoded = tab.evaluate(
            "() => window.ntm.encode(window.ntm.state.size, window.ntm.state.bits)"
        )
        example = tab.evaluate("() => window.ntm.data.example")
    for field in ("inputs", "targets", "mask"):
        np.testing.assert_allclose(encoded[field], example[field], atol=1e-6)
    key = jax.random.key(1)
    for number in SIZES[name]:
        key = jax.random.fold_in(key, number)
    batch = trained.task.sample_size(key, 1, *SIZES[name])
    np.testing.assert_array_equal(example["inputs"], batch.inputs[0])


@needs_browser
def test_changed_bits_are_copied(chromium, files):
    with open_page(chromium, files["copy_ntm"]) as tab:
        cell = tab.locator('[aria-label^="vector 3, bit 2"]')
        before = cell.get_attribute("aria-checked")
        cell.click()
        cell = tab.locator('[aria-label^="vector 3, bit 2"]')
        assert cell.get_attribute("aria-checked") != before
        assert tab.inner_text("#score") == "0 of 160 bits of the answer are wrong."
        tab.fill("#control-length", "60")
        tab.press("#control-length", "Enter")
        assert tab.inner_text("#score") == "0 of 480 bits of the answer are wrong."
        tab.fill("#control-slots", "20")
        tab.press("#control-slots", "Enter")
        wrong = int(tab.inner_text("#score").split()[0])
        assert wrong > 100  # 60 vectors do not fit into 20 slots


@needs_browser
def test_keyboard_reaches_everything(chromium, files):
    with open_page(chromium, files["copy_ntm"], reduced_motion="reduce") as tab:
        focused = []
        for _ in range(12):
            tab.keyboard.press("Tab")
            focused.append(tab.evaluate("document.activeElement.id || document.activeElement.role"))
        stops = ["control-length", "control-slots", "random", "gridcell", "play", "step"]
        assert focused[:9] == [*stops, "time", "memory", "head"]

        tab.focus("#step")
        tab.keyboard.press("ArrowRight")
        assert tab.inner_text("#where").startswith("Step 1 of 0 to 40 (input)")
        tab.keyboard.press("End")
        assert "Step 40 of 0 to 40 (answer)" in tab.inner_text("#where")
        tab.keyboard.press("Home")
        tab.keyboard.press("Space")
        assert tab.get_attribute("#play", "aria-pressed") == "true"
        tab.keyboard.press("Space")
        assert tab.get_attribute("#play", "aria-pressed") == "false"

        tab.locator('[role="gridcell"][tabindex="0"]').focus()
        for key in ("ArrowRight", "ArrowUp", "Space"):
            tab.keyboard.press(key)
        label = tab.evaluate("document.activeElement.getAttribute('aria-label')")
        assert label.startswith("vector 1, bit 1")
        assert tab.inner_text("#score").startswith("0 of 160")


@needs_browser
def test_slot_shows_when_it_was_written(chromium, files):
    with open_page(chromium, files["copy_ntm"]) as tab:
        tab.focus("#memory")
        tab.evaluate("window.ntm.setStep(10)")
        for _ in range(6):
            tab.keyboard.press("ArrowUp")
        text = tab.inner_text("#memory-readout")
        slot = int(re.match(r"Slot (\d+): last written at step (\d+)", text)[1])
        written = tab.evaluate(
            """(slot) => window.ntm.run(window.ntm.data.example.inputs, window.ntm.state.slots)
            .map((step) => step.heads.find((head) => head.kind === "write").weights[slot])""",
            slot,
        )
        assert f"last written at step {int(np.argmax(written[:11]))}" in text


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_window_has_no_scroll_bar(chromium, files, scheme):
    for name in ("copy_ntm", "ngrams_ntm"):
        with open_page(chromium, files[name], width=360, color_scheme=scheme) as tab:
            assert tab.evaluate("document.documentElement.scrollWidth") == 360
            background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.slow
@needs_browser
def test_step_takes_less_than_50_ms(chromium, files):
    with open_page(chromium, files["copy_ntm_lstm"]) as tab:
        tab.fill("#control-length", "40")
        tab.press("#control-length", "Enter")
        times = tab.evaluate(
            """() => Array.from({ length: 81 }, (_, step) => {
              const start = performance.now();
              window.ntm.setStep(step);
              return performance.now() - start;
            })"""
        )
    assert np.median(times) < 50
