"""Figures 1-5."""

import drawn
import frames
import numpy as np
import pandas as pd
import pytest
from drawn import chosen, panel

from latentgen import figures, summary
from latentgen.figures.page import style
from latentgen.numbers.results import Results

CHANCE = {"digits": 0.1}
CELL = {"model": "mlp", "level": 0.6}


def of(probes, history, chance=None):
    return Results.of({"probes": probes, "history": history}, chance=chance)


def percent(rows):
    return dict(zip(rows["epoch"], 100 * rows["mean"], strict=True))


@pytest.fixture(scope="module")
def tables():
    return frames.grid(levels=(0.0, 0.6), schedule=(0, 1, 2, 5, 10, 20, 40))


# --- the numbers ----------------------------------------------------------------------------------


def test_the_table_holds_means_and_intervals_of_the_probe(tables):
    probes, history = tables
    table = figures.draw("fig2", of(probes, history)).table
    assert set(table["series"]) == {"velpic", "model"}
    table = table[table["series"] == "velpic"]
    rows = summary.probe_accuracy(probes, "velpic")
    for layer, epoch in [("input", 0), ("fc2", 5), ("fc4", 10)]:
        of_cell = {**CELL, "layer": layer, "epoch": epoch}
        values = chosen(rows, **of_cell)["value"]
        stated = chosen(table, **of_cell)
        assert len(stated) == 1 and len(values) == 5
        expected = summary.interval(values)
        np.testing.assert_allclose(stated[["mean", "low", "high"]].to_numpy()[0], expected[:3])


def test_the_models_line_has_every_epoch_and_no_layer(tables):
    probes, history = tables
    table = figures.draw("fig1", of(probes, history)).table
    own = table[(table["series"] == "model") & (table["model"] == "cnn") & (table["level"] == 0.6)]
    assert own["layer"].isna().all() and own["depth"].isna().all()
    ends = history.query("model == 'cnn' and level == 0.6").groupby("data_seed")["epoch"].max()
    assert list(own["epoch"]) == list(range(ends.max() + 1))
    finals = [
        history.query(f"model == 'cnn' and level == 0.6 and data_seed == {d} and epoch == {e} and split == 'test'")[
            "value"
        ].item()
        for d, e in ends.items()
    ]
    assert own["mean"].iloc[-1] == pytest.approx(np.mean(finals))


@pytest.mark.parametrize(("name", "minuend", "subtrahend"), [("fig3", "velpic", "masc"), ("fig5", "masc", "logistic")])
def test_differences_are_paired_within_runs(tables, name, minuend, subtrahend):
    probes, history = tables
    table = figures.draw(name, of(probes, history)).table
    assert set(table["series"]) == {f"{minuend} - {subtrahend}"}
    cell = probes.query("model == 'mlp' and level == 0.6 and layer == 'fc1' and epoch == 10")
    wide = cell.pivot(index="data_seed", columns="probe", values="value")
    expected = summary.interval(wide[minuend] - wide[subtrahend])
    stated = table.query("model == 'mlp' and level == 0.6 and layer == 'fc1' and epoch == 10")
    np.testing.assert_allclose(stated[["mean", "low", "high"]].to_numpy()[0], expected[:3])


@pytest.mark.parametrize("name", ["fig1", "fig3"])
def test_the_lines_drawn_are_the_table(tables, name):
    probes, history = tables
    sheet, table = drawn.draw(name, of(probes, history, CHANCE))
    for model in ("mlp", "cnn"):
        ((row,),) = [rows for heading, rows in drawn.blocks(sheet).items() if f" {model}," in heading]
        looks = style.layer_styles(frames.LAYERS[model])
        for level, ax in zip((0.0, 0.6), row, strict=True):
            cell = chosen(table, model=model, level=level)
            for layer, look in looks.items():
                points = drawn.points(ax, color=look["color"], marker=look["marker"], linestyle="-")
                assert points == pytest.approx(percent(chosen(cell, layer=layer)))
            network = drawn.points(ax, color="black", linewidth=1.2) | drawn.points(ax, color="black", linewidth=0.6)
            assert network == pytest.approx(percent(chosen(cell, series="model")))
            assert bool(network) == (name == "fig1")
            # Chance, or no difference.
            (reference,) = (line for line in ax.lines if line.get_color() == style.REFERENCE["color"])
            assert set(reference.get_ydata()) == {10.0 if name == "fig1" else 0.0}


def test_bands_are_the_intervals_of_the_table(tables):
    sheet, table = drawn.draw("fig1", of(*tables))
    (band,) = (
        band
        for band in panel(sheet, 0.6).collections
        if style.layer_styles(frames.LAYERS["mlp"])["fc2"]["color"] == drawn_colour(band)
    )
    rows = chosen(table, **CELL, layer="fc2")
    ends = {tuple(point) for point in band.get_paths()[0].vertices.round(6)}
    for column in ("low", "high"):
        assert ends >= set(zip(rows["epoch"].astype(float), (100 * rows[column]).round(6), strict=True))


def drawn_colour(band):
    red, green, blue, _ = (255 * band.get_facecolor()[0]).round().astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def test_the_input_does_not_set_the_scale_of_differences_and_is_written_where_it_leaves(tables):
    """The other lines stay apart; the mean of the input over the epochs of the panel stands at its edge."""
    probes, history = tables
    far = (probes["probe"] == "masc") & (probes["layer"] == "input") & (probes["level"] == 0.6)
    probes = probes.assign(value=probes["value"].where(~far, probes["value"] - 0.5))
    sheet, table = drawn.draw("fig5", of(probes, history))
    near, beyond = panel(sheet, 0.0), panel(sheet, 0.6)
    low, high = beyond.get_ylim()
    shown = chosen(table, model="mlp")
    others = 100 * shown[shown["layer"] != "input"]["mean"]
    value = 100 * chosen(table, **CELL, layer="input")["mean"].mean()
    assert value < low < others.min() and others.max() < high and high - low < 30
    assert written(beyond) == [f"input: \N{MINUS SIGN}{abs(value):.0f}"] and written(near) == []
    assert "The input, which training leaves as it is, does not set the scale" in sheet.caption
    assert drawn.overlaps(sheet) == []


def test_the_input_alone_sets_the_scale_of_differences(tables):
    probes, history = tables
    far = (probes["probe"] == "masc") & (probes["layer"] == "input")
    probes = probes.assign(value=probes["value"].where(~far, probes["value"] - 0.5))
    sheet, table = drawn.draw("fig5", of(probes, history), layers=["input"])
    for ax in sheet.axes:
        low, high = ax.get_ylim()
        assert low < 100 * table["mean"].min() and written(ax) == []


def written(ax):
    """What is written inside a panel."""
    return [text.get_text() for text in ax.texts if text.get_text() != drawn.heading(ax)]


# --- what must be refused -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fig4", "fig5"])
def test_a_missing_probe_is_named_with_the_key_that_adds_it(tables, name):
    probes, history = tables
    with pytest.raises(ValueError, match=r"'logistic' \(it has: masc, velpic\).*key 'probes'"):
        figures.draw(name, of(probes[probes["probe"] != "logistic"], history))


def test_missing_history_is_refused(tables):
    probes, history = tables
    with pytest.raises(ValueError, match="no test accuracy of these models"):
        figures.draw("fig1", of(probes, history[history["mode"] != "evaluated"]))


# --- what is drawn --------------------------------------------------------------------------------

SHOWN = {
    "fig1": "Test accuracy of MASC, the minimum angle subspace classifier",
    "fig2": "Test accuracy of VeLPIC, the vector linear probe",
    "fig3": "Test accuracy of VeLPIC minus that of MASC",
    "fig4": "Test accuracy of multinomial logistic regression",
    "fig5": "Test accuracy of MASC minus that of logistic regression",
}


@pytest.mark.parametrize("name", SHOWN)
def test_every_figure_states_what_it_shows(tables, name):
    sheet, _ = drawn.draw(name, of(*tables, CHANCE))
    text = sheet.caption
    differences = name in ("fig3", "fig5")
    assert SHOWN[name] in text
    assert ("percentage points" in text) == ("paired within runs" in text) == differences
    below = drawn.legends(sheet)[-1]
    assert below == ("", ["no difference"] if differences else ["network", "chance"])
    handle = sheet.pages[0].legends[0].get_lines()[0]
    assert (handle.get_linestyle() == "--" and handle.get_color() == "black") == (not differences)
    assert "fitted on each layer with the given (noisy) labels of the training examples" in text
    assert "scored on test examples (true labels)" in text
    assert "bands: 95 % Student t interval over data seeds" in text and "n = 5 data seeds" in text


def test_n_is_written_where_it_differs_and_seeds_are_said_to_be_averaged():
    probes, history = frames.grid(
        pairs=[("digits", "mlp")], levels=(0.0, 0.6), data_seeds=range(3), model_seeds=(0, 1), schedule=(0, 1)
    )
    probes = probes[(probes["level"] == 0) | (probes["data_seed"] < 2)]
    sheet, table = drawn.draw("fig1", of(probes, history[(history["level"] == 0) | (history["data_seed"] < 2)]))
    assert [drawn.title(ax) for ax in sheet.axes] == ["level 0\nn = 3", "level 0.6\nn = 2"]
    assert "n = 2 to 3 data seeds" in sheet.caption and "Model seeds of a data seed are averaged first" in sheet.caption
    assert set(table["n_runs"]) == {6, 4}


def test_titles_with_n_have_room_over_narrow_panels():
    probes, history = frames.grid(pairs=[("digits", "cnn")], data_seeds=range(4), schedule=(0, 1, 3))
    few = (probes["level"] == 1) & (probes["data_seed"] > 1)
    sheet, _ = drawn.draw("fig1", of(probes[~few], history))
    assert [drawn.title(ax) for ax in sheet.axes][-1] == "level 1\nn = 2 to 4"
    assert drawn.overlaps(sheet) == []


def test_one_seed_and_one_panel_draw_without_interval():
    probes, history = frames.grid(pairs=[("digits", "cnn")], levels=(0.6,), data_seeds=(7,), early=False)
    sheet, table = drawn.draw("fig1", of(probes, history))
    (ax,) = sheet.axes
    assert table["low"].isna().all() and not table["carried"].any()
    assert "One data seed (n = 1): no interval." in sheet.caption
    assert not ax.collections and not drawn.runs(ax)
    low, high = ax.get_ylim()
    assert low < 100 * table["mean"].min() and 100 * table["mean"].max() < high


def test_axes_reach_the_initialisation_and_share_rows(tables):
    sheet, _ = drawn.draw("fig1", of(*tables))
    for ax in sheet.axes:
        assert ax.get_xlim()[0] < 0 and ax.get_xscale() == "symlog"
        assert 0 in ax.get_xticks()
    first, second = sheet.axes[:2]
    assert first.get_ylim() == second.get_ylim() and first.get_xlim() == second.get_xlim()
    assert drawn.legends(sheet) == [
        ("layer", frames.LAYERS["mlp"]),
        ("layer", frames.LAYERS["cnn"]),
        ("", ["network"]),
    ]


def test_panels_follow_levels_and_noise_kinds_and_leave_holes():
    probes, history = frames.grid(
        pairs=[("digits", "mlp")], noises=("uniform", "ketha2026"), levels=(0.0, 0.4, 0.8), schedule=(0, 1, 3)
    )
    probes = probes[(probes["noise"] == "uniform") | (probes["level"] > 0)]
    sheet, _ = drawn.draw("fig1", of(probes, history, CHANCE))
    blocks = drawn.blocks(sheet)
    assert list(blocks) == ["digits, mlp, uniform noise", "digits, mlp, ketha2026 noise"]
    ((whole,), (rest,)) = blocks.values()
    assert [drawn.title(ax) for ax in whole] == ["level 0", "level 0.4", "level 0.8"]
    assert [drawn.title(ax) for ax in rest] == ["level 0.4", "level 0.8"]
    assert [ax.get_ylabel() for ax in (*whole, *rest)] == ["test accuracy (%)", "", "", "test accuracy (%)", ""]
    assert {ax.get_xlabel() for ax in (*whole, *rest)} == {"epoch"}
    assert drawn.overlaps(sheet) == []


def test_panels_of_the_controls_are_narrow_where_all_rows_have_the_same_levels():
    def widths(sheet):
        for page in sheet.pages:
            drawn.laid_out(page)
        return [ax.get_position().width * sheet.pages[0].get_figwidth() for ax in drawn.rows(sheet)[0]]

    probes, history = frames.grid(levels=(0.0, 0.4, 0.8, 1.0), data_seeds=(0,), schedule=(0, 1, 3))
    sheet, _ = drawn.draw("fig1", of(probes, history))
    low, *between, high = widths(sheet)
    assert low == pytest.approx(high, rel=0.1) and between[0] == pytest.approx(between[1], rel=0.1)
    assert max(low, high) < 0.8 * min(between)
    lacking = probes[(probes["model"] == "mlp") | (probes["level"] < 1)]
    alike = widths(drawn.draw("fig1", of(lacking, history))[0])
    assert max(alike) == pytest.approx(min(alike), rel=0.1)


def test_stopped_runs_are_marked(tables):
    probes, history = tables
    sheet, table = drawn.draw("fig1", of(probes, history))
    curve = chosen(table, **CELL, layer="fc1")
    stops = curve["epoch"][curve["n_measured"].diff(-1) > 0]
    assert len(stops) > 0 and "a run stopped" in sheet.caption
    ax = panel(sheet, 0.6)
    marks = next(line for line in ax.lines if line.get_linestyle() == "None")
    assert list(marks.get_xdata()) == list(stops)
    # From there on lines are thinner.
    colour = style.layer_styles(frames.LAYERS["mlp"])["fc1"]["color"]
    whole, thin = (line for line in ax.lines if line.get_color() == colour)
    assert thin.get_linewidth() < whole.get_linewidth()
    assert set(thin.get_xdata()) == {whole.get_xdata()[-1], *curve["epoch"][curve["carried"]]}
    whole, _ = drawn.draw("fig1", of(*frames.grid(levels=(0.6,), schedule=(0, 1, 2), early=False)))
    assert "stopped" not in whole.caption


def test_many_models_go_on_on_further_pages():
    pairs = [(dataset, model) for dataset in ("mnist", "cifar10", "digits") for model in ("mlp", "cnn", "resnet18")]
    probes, history = frames.grid(pairs, levels=(0.0, 0.6), data_seeds=range(2), schedule=(0, 1, 3))
    sheet, _ = drawn.draw("fig1", of(probes, history))
    assert [len(page.axes) for page in sheet.pages] == [12, 12, 3]
    assert list(drawn.blocks(sheet)) == [f"{dataset}, {model}, uniform noise" for dataset, model in pairs]
    assert [drawn.letter(ax) for ax in sheet.axes] == list("abcdefghijklmnopqr")
    assert all(len(page.legends) == 1 for page in sheet.pages)
    assert all((page.get_size_inches() <= (7.0 + 1e-9, 9.0 + 1e-9)).all() for page in sheet.pages)
    assert drawn.overlaps(sheet) == []


def test_many_layers_have_a_legend_that_fits():
    probes, history = frames.grid([("cifar10", "vgg16")], data_seeds=range(2), schedule=(0, 1, 3))
    sheet, _ = drawn.draw("fig1", of(probes, history))
    assert drawn.legends(sheet)[0] == ("layer", frames.LAYERS["vgg16"])
    assert drawn.overlaps(sheet) == []


def test_a_table_without_rows_of_a_layer_at_a_level_leaves_its_line_out(tables):
    probes, history = tables
    probes = probes[(probes["layer"] != "fc2") | (probes["level"] > 0)]
    sheet, table = drawn.draw("fig1", of(probes, history))
    colour = style.layer_styles(frames.LAYERS["mlp"])["fc2"]["color"]
    assert drawn.points(panel(sheet, 0.0), color=colour) == {}
    assert drawn.points(panel(sheet, 0.6), color=colour) == pytest.approx(percent(chosen(table, **CELL, layer="fc2")))


def test_a_layer_keeps_its_colour_and_marker_beside_others_or_alone(tables):
    look = style.layer_styles(frames.LAYERS["mlp"])["fc3"]
    sheet, table = drawn.draw("fig1", of(*tables), layers=["fc3", "fc4"])
    assert drawn.legends(sheet)[0] == ("layer", ["fc3", "fc4"])
    assert list(drawn.blocks(sheet)) == ["digits, mlp, uniform noise"]
    pd.testing.assert_series_equal(table["model"], pd.Series("mlp", table.index, name="model"), check_dtype=False)
    points = drawn.points(panel(sheet, 0.6), color=look["color"], marker=look["marker"])
    assert points == pytest.approx(percent(chosen(table, **CELL, layer="fc3")))
