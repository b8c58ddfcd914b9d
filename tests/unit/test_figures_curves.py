"""Figures 1-5."""

import frames
import numpy as np
import pandas as pd
import pytest
from drawn import footer, panel

from latentgen import figures, summary
from latentgen.figures import style
from latentgen.figures.results import Results

CHANCE = {"digits": 0.1}


def of(probes, history, chance=None):
    return Results.of({"probes": probes, "history": history}, chance=chance)


@pytest.fixture(scope="module")
def tables():
    return frames.grid(levels=(0.0, 0.6), schedule=(0, 1, 2, 5, 10, 20, 40))


# --- the numbers ----------------------------------------------------------------------------------


def test_the_table_holds_means_and_intervals_of_the_probe(tables):
    probes, history = tables
    _, table = figures.draw("fig2", of(probes, history))
    assert set(table["series"]) == {"velpic", "model"}
    table = table[table["series"] == "velpic"]
    rows = summary.probe_accuracy(probes, "velpic")
    for layer, epoch in [("input", 0), ("fc2", 5), ("fc4", 10)]:
        of_cell = {"model": "mlp", "level": 0.6, "layer": layer, "epoch": epoch}
        values = rows[(rows[list(of_cell)] == pd.Series(of_cell)).all(axis=1)]["value"]
        drawn = table[(table[list(of_cell)] == pd.Series(of_cell)).all(axis=1)]
        assert len(drawn) == 1 and len(values) == 5
        expected = summary.interval(values)
        np.testing.assert_allclose(drawn[["mean", "low", "high"]].to_numpy()[0], expected[:3])


def test_the_models_line_has_every_epoch_and_no_layer(tables):
    probes, history = tables
    _, table = figures.draw("fig1", of(probes, history))
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
    _, table = figures.draw(name, of(probes, history))
    assert set(table["series"]) == {f"{minuend} - {subtrahend}"}
    cell = probes.query("model == 'mlp' and level == 0.6 and layer == 'fc1' and epoch == 10")
    wide = cell.pivot(index="data_seed", columns="probe", values="value")
    expected = summary.interval(wide[minuend] - wide[subtrahend])
    drawn = table.query("model == 'mlp' and level == 0.6 and layer == 'fc1' and epoch == 10")
    np.testing.assert_allclose(drawn[["mean", "low", "high"]].to_numpy()[0], expected[:3])


def test_the_lines_drawn_are_the_table(tables):
    probes, history = tables
    fig, table = figures.draw("fig1", of(probes, history, CHANCE))
    ax = panel(fig, 0.6)
    colour = style.layer_styles(frames.LAYERS["mlp"])["fc3"]["color"]
    x, y = zip(
        *((x, y) for line in ax.lines if line.get_color() == colour for x, y in line.get_xydata()),
        strict=True,
    )
    drawn = table.query("model == 'mlp' and level == 0.6 and layer == 'fc3'")
    expected = dict(zip(drawn["epoch"], 100 * drawn["mean"], strict=True))
    assert dict(zip(x, y, strict=True)) == pytest.approx(expected)


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


@pytest.mark.parametrize("name", ["fig1", "fig2", "fig3", "fig4", "fig5"])
def test_every_figure_states_what_it_shows(tables, name):
    text = footer(figures.draw(name, of(*tables, CHANCE))[0])
    differences = name in ("fig3", "fig5")
    assert ("percentage points" in text) == ("paired" in text) == differences
    assert ("Dotted" in text) == ("chance" in text) == (not differences)
    assert "fitted on the given" in text


def test_n_is_written_where_it_differs_and_seeds_are_said_to_be_averaged():
    probes, history = frames.grid(
        pairs=[("digits", "mlp")], levels=(0.0, 0.6), data_seeds=range(3), model_seeds=(0, 1), schedule=(0, 1)
    )
    probes = probes[(probes["level"] == 0) | (probes["data_seed"] < 2)]
    fig, table = figures.draw("fig1", of(probes, history[(history["level"] == 0) | (history["data_seed"] < 2)]))
    assert [ax.get_title() for ax in fig.axes] == ["corruption 0\nn = 3", "corruption 0.6\nn = 2"]
    assert "n = 2 to 3 data seeds" in footer(fig) and "Model seeds" in footer(fig)
    assert set(table["n_runs"]) == {6, 4}


def test_one_seed_and_one_panel_draw_without_interval():
    probes, history = frames.grid(pairs=[("digits", "cnn")], levels=(0.6,), data_seeds=(7,), early=False)
    fig, table = figures.draw("fig1", of(probes, history))
    assert len(fig.axes) == 1
    assert table["low"].isna().all() and not table["carried"].any()
    assert "One data seed (n = 1): no interval." in footer(fig)
    low, high = fig.axes[0].get_ylim()
    assert low < 100 * table["mean"].min() and 100 * table["mean"].max() < high


def test_axes_reach_the_initialisation_and_share_rows(tables):
    fig, table = figures.draw("fig1", of(*tables))
    for ax in fig.axes:
        assert ax.get_xlim()[0] < 0 and ax.get_xscale() == "symlog"
        assert 0 in ax.get_xticks()
    assert fig.axes[0].get_ylim() == fig.axes[1].get_ylim()
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()
    legends = [[text.get_text() for text in legend.get_texts()] for legend in fig.legends]
    assert legends == [[*frames.LAYERS["mlp"], "network"], [*frames.LAYERS["cnn"], "network"]]


def test_panels_follow_levels_and_noise_kinds_and_leave_holes():
    probes, history = frames.grid(
        pairs=[("digits", "mlp")], noises=("uniform", "ketha2026"), levels=(0.0, 0.4, 0.8), schedule=(0, 1, 3)
    )
    probes = probes[(probes["noise"] == "uniform") | (probes["level"] < 0.8)]
    fig, _ = figures.draw("fig1", of(probes, history, CHANCE))
    assert len(fig.axes) == 5
    assert [legend.get_title().get_text() for legend in fig.legends] == ["uniform noise", "ketha2026 noise"]
    # Columns are titled once, at their top, and named at their lowest panel.
    assert [ax.get_title() for ax in fig.axes] == ["corruption 0", "corruption 0.4", "corruption 0.8", "", ""]
    assert [ax.get_xlabel() for ax in fig.axes] == ["", "", "epoch", "epoch", "epoch"]


def test_stopped_runs_are_marked(tables):
    probes, history = tables
    fig, table = figures.draw("fig1", of(probes, history))
    curve = table.query("model == 'mlp' and level == 0.6 and layer == 'fc1'")
    stops = curve["epoch"][curve["n_measured"].diff(-1) > 0]
    assert len(stops) > 0 and "a run stopped" in footer(fig)
    marks = next(line for line in panel(fig, 0.6).lines if line.get_linestyle() == "None")
    assert list(marks.get_xdata()) == list(stops)
    whole, _ = figures.draw("fig1", of(*frames.grid(levels=(0.6,), schedule=(0, 1, 2), early=False)))
    assert "stopped" not in footer(whole)
