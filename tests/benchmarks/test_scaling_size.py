import pytest

from benchmarks import scaling_size
from benchmarks.scaling_size import CHUNKED, EVALUATION, Point
from experiments import benchmark_tables, results


def test_exponent_of_a_power_law():
    sizes = [1024, 2048, 4096, 65536]
    power_law = [3.0 * size**1.7 for size in sizes]
    assert benchmark_tables.exponent(sizes, power_law) == pytest.approx(1.7)
    assert benchmark_tables.exponent(sizes, [5.0] * 4) == pytest.approx(0.0)


def stored_points(sweep, program):
    lines = results.read(scaling_size._RESULTS)
    return [line for line in lines if (line["sweep"], line["program"]) == (sweep, program)]


def test_tables_show_the_stored_points():
    points = stored_points("slots", "training")
    first, last = (
        next(line for line in points if line["num_slots"] == number) for number in (1024, 65536)
    )
    ratio = last["planned_bytes"] / first["planned_bytes"]
    exponents = benchmark_tables.scaling_size_exponents().splitlines()[2]
    assert exponents.startswith("| memory slots N | training | 1,024 | 65,536 | ")
    assert exponents.endswith(f" {ratio:.3g} |")
    rows = benchmark_tables.scaling_size_points().splitlines()
    memory = f"{last['planned_bytes'] / 2**20:,.1f}"
    assert (
        f"| training | 65,536 | 21 | 1 | 1 | {last['seconds']['median']:.3g} | {memory}" in rows[3]
    )


def test_figure_has_all_programs():
    axes = scaling_size.draw(results.read(scaling_size._RESULTS)).axes
    shown = [len(panel.get_legend().get_texts()) for panel in axes[:4]]
    assert shown == [2, 3, 2, 2]


@pytest.mark.parametrize("program", [CHUNKED, EVALUATION])
def test_point_is_measured(program, optax_promotion):
    point = Point(program, num_slots=22, length=2, batch_size=2)
    measured = scaling_size.measure(point, repeats=2, seconds=0.001)
    assert measured["seconds"]["median"] > 0
    assert len(measured["seconds"]["rounds"]) == 2
    assert 0 < measured["planned_bytes"] < measured["peak_bytes"]
