import statistics

import pytest

from experiments import ablations, cli, markdown, results, tables

NAMES = ("copy_ntm", "copy_gru", "repeat_copy_ntm_lstm")


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def row(table, name):
    """Returns the row of a config, by heading."""
    header, _, *rows = cells(tables.TABLES[table]())
    (found,) = (row for row in rows if row[0].startswith(f"[{name}]"))
    return dict(zip(header, found, strict=True))


def test_table_has_headings_and_rows():
    assert markdown.table("a | b", [(1, 2.5)]) == "| a | b |\n| --- | --- |\n| 1 | 2.5 |"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        ([3.0, 3.0], "3"),
        ([1, 2, 30_000], "2 (1 to 30,000)"),
        ([1163.0, 0.0078125, 4.28e-5], "0.00781 (4.28e-05 to 1,160)"),
    ],
)
def test_median_and_range(values, text):
    assert markdown.median_range(values) == text


@pytest.mark.parametrize("name", NAMES)
def test_config_paths_round_trip(name):
    path = cli.config_path(name)
    assert cli.config_name(path) == name
    assert cli.load_config(path).task.name == name[: name.index("copy") + 4]


def test_convergence_matches_the_stored_line():
    (line,) = results.find("ensembles", name="copy_ntm")
    batch_size = cli.load_config(line["config"]).batch_size
    solved = [member["solved_at_step"] * batch_size for member in line["summary"]["members"]]
    shown = row("learning", "copy_ntm")
    low, middle, high = min(solved), statistics.median(solved), max(solved)
    text = f"{middle:,.0f} ({low:,} to {high:,})"
    assert shown["training sequences until solved"] == text
    assert shown["solved in training"] == f"{len(solved)} of {len(solved)}"
    stayed = sum(member["stayed_solved"] for member in line["summary"]["members"])
    assert shown["stayed solved"] == str(stayed)


def test_errors_match_the_stored_line():
    (line,) = results.find("ensembles", name="copy_lstm")
    errors = [
        one["bit_errors_per_sequence"]
        for member in line["evaluation"]["members"]
        for one in member["results"]
        if one["length"] == 120
    ]
    assert row("generalisation", "copy_lstm")["120"] == f"{statistics.median(errors):.3g}"
    assert row("seeds", "copy_lstm")["bit errors per sequence at 20 / 120"].endswith("/ 460")


def test_solved_agrees_with_the_evaluation():
    for name, group in results.groups("ensembles").items():
        stored = [member["solved"] for member in group.line["evaluation"]["members"]]
        assert list(map(group.task.is_solved, group.errors)) == stored, name


def test_ablation_lines_are_found_by_setting():
    line = results.read("ablations")[0]
    assert (line["ablation"], line["name"], line["setting"]) == ("initialization", "copy_ntm", {})
    for line in results.read("ablations"):
        settings = ablations.ABLATIONS[line["ablation"]].settings[line["name"]]
        assert line["setting"] in settings
        keys = ("ablation", "name", "setting")
        assert len(results.find("ablations", **{key: line[key] for key in keys})) == 1


def test_appended_line_is_found(tmp_path):
    path = tmp_path / "lines.jsonl"
    results.append(path, {"name": "a", "setting": {"sizes": (22,)}})
    results.append(path, {"name": "b", "setting": {}})
    assert [line["name"] for line in results.find(path, setting={"sizes": (22,)})] == ["a"]


def test_unknown_table_raises():
    with pytest.raises(KeyError, match="unknown"):
        tables.render("<!-- table: unknown -->\n<!-- end -->")


def test_render_replaces_tables_alone():
    text = "before\n\n<!-- table: startup -->\nold\n<!-- end -->\n\nafter"
    rendered = tables.render(text)
    assert rendered.startswith("before\n\n<!-- table: startup -->\n| config |")
    assert rendered.endswith("|\n<!-- end -->\n\nafter")
    assert tables.render(rendered) == rendered
