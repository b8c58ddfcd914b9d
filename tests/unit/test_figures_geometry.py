"""Figures 16 to 19: geometry by layer and over training, theory and measurement, latent generalization."""

from types import SimpleNamespace

import drawn
import frames
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from latentgen import figures
from latentgen.figures import axes, catalogue, tidy, views
from latentgen.geometry.views import VIEWS

pytestmark = pytest.mark.slow

NAMES = ["fig16", "fig17", "fig18", "fig19"]
SCHEDULE = (0, 1, 4, 10, 30, 60)
RUN = ["data_seed", "model_seed"]


@pytest.fixture(scope="module")
def results():
    options = {"data_seeds": range(3), "model_seeds": (0, 1), "schedule": SCHEDULE}
    return frames.geometry_results([("digits", "mlp")], simulated=("fc2", "output"), **options)


@pytest.fixture(scope="module")
def four():
    return frames.geometry_results(data_seeds=range(4), schedule=SCHEDULE)


@pytest.fixture(scope="module")
def made(results):
    return {name: figures.draw(name, results) for name in NAMES}


def own(results, **point):
    rows = results.history
    return drawn.chosen(rows, split="test", labels="true", mode="evaluated", metric="accuracy", **point)


def best_epochs(results, **point):
    """{(data seed, model seed): the saved epoch of the highest test accuracy}, by hand."""
    found = {}
    for seeds, run in own(results, **point).groupby(RUN):
        measured = drawn.chosen(results.geometry, **point, **dict(zip(RUN, seeds, strict=True)))["epoch"]
        run = run[run["epoch"].isin(measured)].sort_values("epoch")
        found[seeds] = int(run["epoch"].iloc[int(np.argmax(run["value"]))])
    return found


def over_seeds(values):
    """(mean, low, high) of {(data seed, model seed): value}, by SciPy."""
    seeds = sorted({seed for seed, _ in values})
    means = [np.mean([value for (seed, _), value in values.items() if seed == wanted]) for wanted in seeds]
    half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
    return np.mean(means), np.mean(means) - half, np.mean(means) + half


def titled(fig, *parts):
    """Panels whose title begins with these lines."""
    return [ax for ax in fig.axes if ax.get_title().split("\n")[: len(parts)] == list(parts)]


def column(fig, top):
    """Panels under and with ``top``, as far as the next title, from the top down."""
    same = [ax for ax in fig.axes if abs(ax.get_position().x0 - top.get_position().x0) < 1e-6]
    same = sorted(
        (ax for ax in same if ax.get_position().y0 <= top.get_position().y0), key=lambda a: -a.get_position().y0
    )
    end = next((i for i, ax in enumerate(same) if i and ax.get_title()), len(same))
    return same[:end]


def line_of(ax, view):
    """{x: y} of the line of a view."""
    colour = to_hex(views.LOOKS[view]["color"])
    lines = [
        line
        for line in drawn.lines(ax)
        if to_hex(line.get_color()) == colour and line.get_marker() not in ("v", "None")
    ]
    return {x: y for line in lines for x, y in line.get_xydata() if np.isfinite(y)}


def marks(ax, *, hollow=None, marker=None):
    """(x, y) of marks without a line."""
    lines = [line for line in drawn.lines(ax) if line.get_linestyle() == "None" and line.get_marker() != "None"]
    lines = [line for line in lines if marker is None or line.get_marker() == marker]
    lines = [line for line in lines if hollow is None or (line.get_markerfacecolor() in ("white", "none")) == hollow]
    return sorted((x, y) for line in lines for x, y in line.get_xydata())


def without(results, **columns):
    """``results`` whose geometry lacks the rows of these values."""
    gone = drawn.chosen(results.geometry, **columns).index
    assert len(gone)
    return results.replaced(geometry=results.geometry.drop(index=gone))


def undefined(results, **columns):
    """``results`` whose geometry is null in the rows of these values."""
    rows = drawn.chosen(results.geometry, **columns).index
    assert len(rows)
    geometry = results.geometry.copy()
    geometry.loc[rows, ["value", "error", "spread"]] = np.nan
    return results.replaced(geometry=geometry)


# --- which grids have them ------------------------------------------------------------------------


def cell(geometry, probes=("masc",)):
    geometry = geometry and {"layers": "all", **geometry}
    settings = {"geometry": geometry, "probes": {name: frames.SETTINGS[name] for name in probes}, "interventions": {}}
    return SimpleNamespace(settings=settings, model="mlp", declared_model={"factory": "mlp", "options": {}})


def test_a_grid_draws_what_its_cells_have_geometry_for():
    def available(*cells):
        return [name for name in catalogue.available(cells) if name in NAMES]

    assert available(cell(None)) == []
    assert available(cell({"simulated": None})) == ["fig16", "fig17", "fig19"]
    assert available(cell({"simulated": {"epochs": ["last"]}})) == NAMES
    assert available(cell({"simulated": None}, ["velpic"])) == ["fig16", "fig17"]
    # One layer makes no figure by layer.
    assert available(cell({"simulated": None, "layers": "last"})) == ["fig19"]
    assert available(cell({"simulated": None, "layers": ["fc1", "fc2"]})) == ["fig16", "fig17", "fig19"]
    # Probe and geometry of different networks have nothing to say of one another.
    assert available(cell(None), cell({"simulated": None}, ["velpic"])) == ["fig16", "fig17"]


def test_they_are_drawn_from_the_tables_that_the_catalogue_names(results, made):
    for name in NAMES:
        few = {table: getattr(results, table) for table in catalogue.tables(name, [cell({"simulated": None})])}
        drawn_from = figures.Results.of(few, settings=results.settings)
        pd.testing.assert_frame_equal(figures.draw(name, drawn_from)[1], made[name][1])


def test_views_are_those_of_the_geometry_and_look_different():
    assert tuple(views.LOOKS) == VIEWS
    assert len({look["color"] for look in views.LOOKS.values()}) == 4
    assert len({look["marker"] for look in views.LOOKS.values()}) == 4


# --- figure 16 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["capacity", "radius", "dimension", "center_correlation"])
@pytest.mark.parametrize(("view", "level", "layer"), [("permuted", 0.6, "output"), ("test", 0.0, "fc2")])
def test_figure_16_has_the_best_and_the_last_epoch_of_each_run(results, made, metric, view, level, layer):
    _, table = made["fig16"]
    point = {"model": "mlp", "level": level}
    rows = drawn.chosen(results.geometry, metric=metric, view=view, layer=layer, **point).set_index([*RUN, "epoch"])
    chosen = {"best epoch": best_epochs(results, **point)}
    chosen["last epoch"] = {seeds: run["epoch"].max() for seeds, run in rows.reset_index().groupby(RUN)}
    assert len(set(chosen["best epoch"].values())) > 1 or level
    for at, epochs in chosen.items():
        (row,) = drawn.chosen(table, metric=metric, view=view, layer=layer, at=at, **point).to_dict("records")
        wanted = over_seeds({seeds: rows.loc[(*seeds, epoch), "value"] for seeds, epoch in epochs.items()})
        np.testing.assert_allclose([row["mean"], row["low"], row["high"]], wanted)
        assert (row["first_epoch"], row["last_epoch"]) == (min(epochs.values()), max(epochs.values()))
        assert (row["n"], row["n_runs"], row["unstructured"]) == (3, 6, pytest.approx(0.1))
        assert row["choice"] == ("oracle" if at == "best epoch" else "fixed")
        if metric == "capacity":
            errors = [rows.loc[(*seeds, epoch), "error"] for seeds, epoch in epochs.items()]
            assert row["error"] == pytest.approx(np.mean(errors))


def test_figure_16_draws_the_table_in_order_of_depth(made):
    fig, table = made["fig16"]
    layers = [*frames.LAYERS["mlp"], "output"]
    for at in ("best epoch", "last epoch"):
        points = drawn.chosen(table, level=0.6, at=at)
        first, last = points["first_epoch"].iloc[0], points["last_epoch"].iloc[0]
        epochs = f"{first}" if first == last else f"{first} to {last}"
        (top,) = titled(fig, "corruption 0.6", f"{at} {epochs}" + " (oracle)" * (at == "best epoch"))
        stack = column(fig, top)
        names = {label.get_position()[0]: label.get_text() for label in stack[-1].get_xticklabels()}
        assert names == dict(enumerate(layers))
        for ax, metric in zip(stack, ("capacity", "radius", "dimension", "center_correlation"), strict=True):
            for view in VIEWS:
                of_view = drawn.chosen(points, metric=metric, view=view)
                assert line_of(ax, view) == pytest.approx(dict(zip(of_view["depth"], of_view["mean"], strict=True)))
                assert list(of_view["layer"]) == layers
            flat = [line.get_ydata()[0] for line in drawn.lines(ax) if line.get_color() == views.UNSTRUCTURED["color"]]
            assert flat == ([pytest.approx(0.1)] if metric == "capacity" else [])


def test_figure_16_compares_the_two_epochs_on_one_axis(made):
    fig, _ = made["fig16"]
    for level in (0, 0.6):
        tops = [ax for ax in fig.axes if ax.get_title().startswith(f"corruption {level:g}\n")]
        for best, last in zip(tops[::2], tops[1::2], strict=True):
            pairs = zip(column(fig, best), column(fig, last), strict=True)
            assert all(a.get_ylim() == b.get_ylim() for a, b in pairs)


def test_the_last_layer_is_named_where_not_all_have_room():
    vgg = frames.geometry_results(
        [("cifar100", "vgg16")], levels=(0.2, 0.6), data_seeds=(0,), schedule=(0, 1, 4), classes=100
    )
    fig, _ = figures.draw("fig16", vgg)
    names = [[label.get_text() for label in ax.get_xticklabels()] for ax in fig.axes]
    assert all("output" in labels and len(labels) == 10 for labels in names if any(labels))
    assert drawn.overlaps(fig) == []
    assert "indicative" not in drawn.footer(fig) and "P = 100 classes" in drawn.footer(fig)


# --- figure 17 ------------------------------------------------------------------------------------


def test_figure_17_carries_runs_that_stopped_and_averages_over_data_seeds(results, made):
    _, table = made["fig17"]
    point = {"model": "mlp", "level": 0.6, "layer": "output", "view": "restored"}
    rows = drawn.chosen(results.geometry, metric="radius", **point)
    ends = rows.groupby(RUN)["epoch"].max()
    assert ends.nunique() > 1
    for epoch in (0, 4, 60):
        row = drawn.chosen(table, metric="radius", epoch=epoch, **point)
        np.testing.assert_allclose(drawn.stated(row, epoch), drawn.expected(rows, epoch))
        assert row["n_measured"].item() == (ends >= epoch).sum() and row["carried"].item() == (ends < epoch).any()


def test_figure_17_draws_the_table_and_marks_best_epochs(results, made):
    fig, table = made["fig17"]
    for level in (0.0, 0.6):
        best = best_epochs(results, model="mlp", level=level).values()
        for layer in ("fc1", "fc3", "output"):
            (top,) = titled(fig, f"corruption {level:g}", layer)
            points = drawn.chosen(table, model="mlp", level=level, layer=layer)
            assert set(points["first_best_epoch"]) == {min(best)} and set(points["last_best_epoch"]) == {max(best)}
            for ax, metric in zip(column(fig, top), ("capacity", "radius", "dimension"), strict=True):
                for view in VIEWS:
                    of_view = drawn.chosen(points, metric=metric, view=view)
                    assert line_of(ax, view) == pytest.approx(dict(zip(of_view["epoch"], of_view["mean"], strict=True)))
                upright = [line.get_xdata()[0] for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1]]
                assert upright == sorted({min(best), max(best)})


def test_figure_17_has_five_layers_even_over_depth():
    epochs = (0, 1, 10, 100, 1000)
    vgg = frames.geometry_results([("cifar100", "vgg16")], levels=(0.6,), data_seeds=(0,), schedule=epochs)
    fig, table = figures.draw("fig17", vgg)
    assert list(dict.fromkeys(table["layer"])) == ["conv1_1", "conv2_2", "pool3", "conv5_1", "output"]
    assert [ax.get_title() for ax in fig.axes if ax.get_title()] == [
        f"corruption 0.6\n{layer}" for layer in ("conv1_1", "conv2_2", "pool3", "conv5_1", "output")
    ]
    assert drawn.overlaps(fig) == []


def test_panels_stand_closer_where_they_share_the_labels_of_an_axis(made):
    def gaps(name):
        boxes = sorted((ax.get_position() for ax in made[name][0].axes), key=lambda box: (-box.y0, box.x0))
        line = [box for box in boxes if abs(box.y0 - boxes[0].y0) < 1e-6]
        assert len({round(box.width, 6) for box in line}) == 1
        width = made[name][0].get_figwidth()
        return [round(width * (b.x0 - a.x1), 6) for a, b in zip(line, line[1:], strict=False)]

    close, apart = sorted(set(gaps("fig16")))
    assert close < apart
    # The best and the last epoch of one level, then of the other.
    assert gaps("fig16") == [close, apart, close] and gaps("fig17") == [close] * 4
    assert set(gaps("fig18")) == set(gaps("fig19")) == {apart}


# --- what they share ------------------------------------------------------------------------------


def test_rows_come_in_the_order_of_names_and_their_panels_in_that_of_the_configuration():
    point = {"dataset": "d", "noise": "uniform", "level": 0.2}
    like = pd.DataFrame([{**point, "model": model} for model in ("wide", "narrow", "wide")])
    rows = [("narrow", "b", 1.0), ("wide", None, 0.0), ("wide", "a", 2.0), ("wide", "b", 1.0), ("wide", "b", 0.0)]
    table = pd.DataFrame([{**point, "model": model, "view": view, "x": x} for model, view, x in rows])
    found = tidy.in_order(table, like, ["view", "x"], {"view": ["b", "a"]})
    assert [tuple(row) for row in found[["model", "x"]].to_numpy()] == [
        *[("wide", 0.0), ("wide", 1.0), ("wide", 2.0), ("wide", 0.0), ("narrow", 1.0)]
    ]
    first = tidy.in_order(table, like, ["view", "x"], {"view": ["b", "a"]}, na_position="first")
    assert first["view"].isna().tolist() == [True, False, False, False, False]


def test_undefined_values_are_infinite_and_empty_views_no_rows():
    rows = tidy.undefined_kept(pd.DataFrame({"value": [0.5, np.nan, np.nan], "n": [3, 3, 0]}))
    assert rows["value"].tolist() == [0.5, np.inf]


def test_long_intervals_are_cut_and_short_ones_held():
    marks = [1.0, 3.0]
    for low, high, held in ((0.9, 3.2, (0.9, 3.2)), (-50.0, 50.0, (0.0, 4.0)), (np.nan, np.nan, (1.0, 3.0))):
        bounds = pd.DataFrame({"low": [low], "high": [high]})
        assert axes.held(*marks, bounds, 0.5) == pytest.approx(held)
    flat = pd.DataFrame({"low": [-9.0], "high": [2.2]})
    assert axes.held(2.0, 2.0, flat, 0.5) == pytest.approx((1.5, 2.2))


# --- figure 18 ------------------------------------------------------------------------------------


def test_figure_18_pairs_theory_with_what_was_measured_there(results, made):
    fig, table = made["fig18"]
    simulated = results.geometry["metric"].str.startswith("simulated") & results.geometry["value"].notna()
    assert len(table) == simulated.sum()
    metrics = {"axes removed": "simulated_capacity", "axes kept": "simulated_capacity_raw"}
    for row in table.iloc[::17].to_dict("records"):
        names = [*["dataset", "model", "level", *RUN], "epoch", "layer", "view"]
        rows = drawn.chosen(results.geometry, **{name: row[name] for name in names}).set_index("metric")
        measured, theory = rows.loc[metrics[row["series"]]], rows.loc["capacity"]
        assert (row["measured"], row["measured_error"]) == (measured["value"], measured["error"])
        assert (row["theory"], row["theory_error"]) == (theory["value"], theory["error"])
    for level in (0.0, 0.6):
        (ax,) = titled(fig, f"corruption {level:g}")
        for series, sign in (("axes removed", "●"), ("axes kept", "○")):
            points = drawn.chosen(table, level=level, series=series)
            wanted = sorted(zip(points["measured"], points["theory"], strict=True))
            np.testing.assert_allclose(marks(ax, hollow=series == "axes kept"), wanted)
            r = np.corrcoef(np.log(points["measured"]), np.log(points["theory"]))[0, 1]
            deviation = np.mean(points["theory"] / points["measured"]) - 1
            assert set(points["n_points"]) == {len(points)} and set(points["n"]) == {3}
            np.testing.assert_allclose(points[["correlation", "deviation"]].drop_duplicates(), [[r, deviation]])
            text = f"{sign} r = {r:.2f}, {100 * deviation:+.0f} %, {len(points)} marks".replace("-", "−")
            assert text in ax.get_title()


def test_figure_18_has_bars_equality_and_2_over_m(made):
    fig, table = made["fig18"]
    (ax,) = titled(fig, "corruption 0.6")
    points = drawn.chosen(table, model="mlp", level=0.6)
    drawn_bars = np.concatenate([lines.get_segments() for lines in ax.collections if lines.get_segments()])
    for at, error, fixed in (("measured", "measured_error", "theory"), ("theory", "theory_error", "measured")):
        for row in points.iloc[::5].to_dict("records"):
            ends = [row[at] - 1.96 * row[error], row[at] + 1.96 * row[error]]
            bar = [[x, row[fixed]] if at == "measured" else [row[fixed], x] for x in ends]
            assert np.isclose(drawn_bars, bar).all((1, 2)).any()
    assert any(
        np.array_equal(line.get_xdata(), line.get_ydata()) and len(line.get_xdata()) == 2 for line in drawn.lines(ax)
    )
    dashed = [line for line in drawn.lines(ax) if line.get_color() == views.UNSTRUCTURED["color"]]
    assert sorted(0.1 in np.round(line.get_xdata(), 12) for line in dashed) == [False, True]
    assert ax.get_xlim() == ax.get_ylim() and ax.get_xscale() == ax.get_yscale() == "log"


def test_figure_18_says_what_is_missing(results):
    fig, table = figures.draw("fig18", without(results, metric="simulated_capacity_raw"))
    assert set(table["series"]) == {"axes removed"} and not any("○" in ax.get_title() for ax in fig.axes)
    assert "axes kept" not in drawn.legends(fig)[0][1]
    gone = undefined(results, metric="simulated_capacity", view="test", layer="output", model="mlp", level=0.6)
    fig, table = figures.draw("fig18", gone)
    assert drawn.chosen(table, series="axes removed", view="test", layer="output", model="mlp", level=0.6).empty
    assert "Undefined, so left out: 6 of " in drawn.footer(fig)
    simulated = results.geometry[~results.geometry["metric"].str.startswith("simulated")]
    with pytest.raises(ValueError, match="no value of simulated_capacity.*'geometry.simulated'"):
        figures.draw("fig18", results.replaced(geometry=simulated))
    with pytest.raises(ValueError, match="no mean-field capacity where capacity was measured"):
        figures.draw("fig18", without(results, metric="capacity"))


def test_figure_18_warns_of_a_margin(results, made):
    assert "without a margin" not in drawn.footer(made["fig18"][0])
    geometry = results.geometry.assign(kappa=results.geometry["kappa"] + 0.5)
    text = drawn.footer(figures.draw("fig18", results.replaced(geometry=geometry))[0])
    assert "κ = 0.5" in text and "Measured without a margin, theory with one" in text


# --- figure 19 ------------------------------------------------------------------------------------


def by_hand(results, level):
    """{(seeds, epoch): {"masc": by hidden layer, "model": accuracy}} of the MLP."""
    probes = drawn.chosen(results.probes, probe="masc", split="test", model="mlp", level=level)
    network = own(results, model="mlp", level=level).set_index([*RUN, "epoch"])["value"]
    found = {}
    for (d, m, epoch), rows in probes.groupby([*RUN, "epoch"]):
        masc = rows[rows["layer"] != "input"].set_index("layer")["value"].to_dict()
        found[(d, m), epoch] = {"masc": masc, "model": network[d, m, epoch]}
    return found


def capacity(results, level, view, layer):
    rows = drawn.chosen(results.geometry, metric="capacity", view=view, layer=layer, model="mlp", level=level)
    return rows.set_index([*RUN, "epoch"])["value"]


def latent_panels(fig, level):
    first = next(ax for ax in fig.axes if ax.get_title().startswith(f"corruption {level:g},"))
    beside = [ax for ax in fig.axes if abs(ax.get_position().y0 - first.get_position().y0) < 1e-6]
    return sorted(beside, key=lambda ax: ax.get_position().x0)


def test_figure_19_sets_the_same_checkpoints_side_by_side(results, made):
    fig, table = made["fig19"]
    found = by_hand(results, 0.6)
    each, best, permuted, restored = latent_panels(fig, 0.6)
    layers = ["fc1", "fc2", "fc3", "fc4"]
    of_layer = {layer: capacity(results, 0.6, "test", layer) for layer in layers}
    for marker, shown in (("o", layers[:3]), ("D", layers[3:])):
        wanted = [
            (of_layer[layer][*seeds, epoch], 100 * values["masc"][layer])
            for (seeds, epoch), values in found.items()
            for layer in shown
        ]
        np.testing.assert_allclose(marks(each, marker=marker), sorted(wanted))
    for hollow, series in ((False, "masc"), (True, "model")):
        wanted = [
            (of_layer["fc4"][*seeds, epoch], 100 * (values["model"] if hollow else max(values["masc"].values())))
            for (seeds, epoch), values in found.items()
        ]
        np.testing.assert_allclose(marks(best, hollow=hollow), sorted(wanted))
        assert len(drawn.chosen(table, panel="best layer", series=series, model="mlp", level=0.6)) == len(wanted)
    stopped = best_epochs(results, model="mlp", level=0.6)
    for ax, view in ((permuted, "permuted"), (restored, "restored")):
        x = capacity(results, 0.6, view, "fc4")
        for hollow in (False, True):
            wanted = [
                (x[*seeds, epoch], 100 * (max(values["masc"].values()) - values["model"]))
                for (seeds, epoch), values in found.items()
                if (epoch < stopped[seeds]) == hollow
            ]
            np.testing.assert_allclose(marks(ax, hollow=hollow), sorted(wanted))
        assert ax.get_xlabel() == f"{view} capacity, fc4"
    row = drawn.chosen(table, panel="gap, permuted", model="mlp", level=0.6).iloc[0]
    values = found[(row["data_seed"], row["model_seed"]), row["epoch"]]["masc"]
    assert row["best_layer"] == max(values, key=values.get) and row["layer"] == "fc4"


@pytest.mark.parametrize("view", ["permuted", "restored"])
def test_figure_19_correlates_within_runs(results, made, view):
    fig, table = made["fig19"]
    found, stopped = by_hand(results, 0.6), best_epochs(results, model="mlp", level=0.6)
    x = capacity(results, 0.6, view, "fc4")
    (ax,) = [ax for ax in latent_panels(fig, 0.6) if ax.get_xlabel().startswith(view)]
    row = drawn.chosen(table, panel=f"gap, {view}", model="mlp", level=0.6).iloc[0]
    for prefix, word in (("", "all"), ("later_", "later")):
        correlations = {}
        for seeds in stopped:
            epochs = [e for s, e in found if s == seeds and (not prefix or e >= stopped[seeds])]
            gap = [max(found[seeds, e]["masc"].values()) - found[seeds, e]["model"] for e in epochs]
            if len(epochs) > 2:
                # Spearman's correlation is Pearson's of ranks.
                ranks = [stats.rankdata(values) for values in ([x[*seeds, e] for e in epochs], gap)]
                correlations[seeds] = np.corrcoef(*ranks)[0, 1]
        wanted = over_seeds(correlations)
        stated = [row[f"{prefix}spearman"], row[f"{prefix}low"], row[f"{prefix}high"]]
        np.testing.assert_allclose(stated, wanted)
        # Three data seeds are too few for an interval, which the table has nevertheless.
        text = f"{word}: ρ = {wanted[0]:.2f}".replace("-", "−")
        assert text in ax.get_title().split("\n")
    assert (row["n"], row["n_points"]) == (3, len(found))


def test_figure_19_prints_no_interval_of_two_data_seeds(four):
    fig, table = figures.draw("fig19", four)
    row = drawn.chosen(table, level=0.6, panel="gap, permuted").iloc[0]
    text = f"all: ρ = {row['spearman']:.2f} ± {row['high'] - row['spearman']:.2f}".replace("-", "−")
    assert text in latent_panels(fig, 0.6)[2].get_title() and "fewer than 4 data seeds" not in drawn.footer(fig)
    two = frames.geometry_results(data_seeds=(0, 1), schedule=SCHEDULE)
    fig, table = figures.draw("fig19", two)
    for level in (0.0, 0.6):
        titles = [ax.get_title() for ax in latent_panels(fig, level)]
        for panel, title in zip(drawn.chosen(table, level=level)["panel"].unique(), titles, strict=True):
            row = drawn.chosen(table, level=level, panel=panel).iloc[0]
            assert f"ρ = {row['spearman']:.2f}".replace("-", "−") in title and "±" not in title
    text = drawn.footer(fig)
    assert "mean over data seeds, without interval (fewer than 4 data seeds with ρ)" in text and "±" not in text
    # The table has the intervals nevertheless.
    assert table[["low", "high"]].notna().all(axis=None) and (table["high"] - table["spearman"]).max() > 2


def test_figure_19_counts_the_data_seeds_that_have_a_correlation(four):
    # Of one data seed nothing is measured after the second epoch, so that it has no correlation of its own.
    short = (four.probes["data_seed"] == 2) & (four.probes["epoch"] > 1) & (four.probes["level"] == 0.6)
    fig, table = figures.draw("fig19", four.replaced(probes=four.probes[~short]))
    each, best, permuted, restored = latent_panels(fig, 0.6)
    assert set(drawn.chosen(table, level=0.6)["n"]) == {4}
    assert "all: ρ = " in permuted.get_title() and not any("±" in ax.get_title() for ax in (best, permuted, restored))
    # Layers make enough marks of two epochs.
    assert "±" in each.get_title() and all("±" in ax.get_title() for ax in latent_panels(fig, 0.0))
    assert "interval (±; left out where fewer than 4 data seeds have ρ)" in drawn.footer(fig)


def test_figure_19_leaves_out_the_input_and_views_that_are_empty(made):
    fig, table = made["fig19"]
    assert "input" not in set(table["layer"]) | set(table["best_layer"].dropna())
    assert set(drawn.chosen(table, level=0.0)["panel"]) == {"each layer", "best layer"}
    assert len(latent_panels(fig, 0.0)) == 2
    assert set(table.loc[table["series"] == "model", "fit_labels"].isna()) == {True}


def test_figure_19_needs_the_probe_at_the_same_checkpoints(results):
    with pytest.raises(ValueError, match="no test accuracy of probe 'masc'"):
        figures.draw("fig19", results.replaced(probes=drawn.chosen(results.probes, probe="velpic")))
    elsewhere = results.probes.assign(epoch=results.probes["epoch"] + 1000)
    with pytest.raises(ValueError, match="no checkpoint with capacity, the probe 'masc'"):
        figures.draw("fig19", results.replaced(probes=elsewhere))


def test_figure_19_colours_epochs_from_dark_to_light(made):
    fig, _ = made["fig19"]
    (legend,) = fig.legends
    epochs = {
        int(text.get_text().removeprefix("epoch ")): handle.get_color()
        for text, handle in zip(legend.get_texts(), legend.get_lines(), strict=True)
        if text.get_text().startswith("epoch ")
    }
    assert list(epochs)[0] == 0 and max(epochs) == 60 and 3 < len(epochs) <= 6
    lightness = [
        np.dot([int(colour[i : i + 2], 16) for i in (1, 3, 5)], [0.2126, 0.7152, 0.0722]) for colour in epochs.values()
    ]
    assert (np.diff(lightness) > 0).all()


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_states_what_it_shows(made, name):
    fig, table = made[name]
    text = drawn.footer(fig)
    for phrase in [
        *["n = 3 data seeds", "P = 10 classes, M = 20 examples", "κ = 0.", "with P = 10 its values are indicative"],
        *["mislabelled training examples, by the given label", "nothing is fitted on some", "classes per feature"],
        "Not drawn, some class having fewer than two examples: permuted and restored at corruption 0.",
    ]:
        assert phrase in text
    assert ("oracle" in text) == (name != "fig18")
    assert ("thin lines: the runs, too few for an interval" in text) == (name in ("fig16", "fig17"))
    assert ("1.96 standard errors within a run" in text) == (name == "fig18")
    assert ("fitted on the given (noisy) labels" in text) == (name == "fig19")
    assert views.UNSTRUCTURED_LABEL in drawn.legends(fig)[0][1]
    assert fig.get_size_inches()[0] <= 7.0 + 1e-9 and drawn.overlaps(fig) == []
    assert min(text.get_fontsize() for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert set(table["n"]) == {3}


@pytest.mark.parametrize("name", ["fig16", "fig17"])
def test_footers_state_how_stable_capacities_are(results, name):
    geometry = results.geometry.copy()
    rows = drawn.chosen(geometry, metric="capacity", layer="output", level=0.6, view="test").index
    geometry.loc[rows, "error"] = 0.034 * geometry.loc[rows, "value"]
    geometry.loc[rows, "spread"] = 0.021 * geometry.loc[rows, "value"]
    # What other measures depend on is not said.
    others = drawn.chosen(geometry, metric="radius").index
    geometry.loc[others, "spread"] = geometry.loc[others, "value"]
    text = drawn.footer(figures.draw(name, results.replaced(geometry=geometry))[0])
    assert "standard error over random directions at most 3.4 %" in text
    assert "restarts of the search for centre axes at most 2.1 %" in text


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval_and_missing_views_no_line(name):
    one = frames.geometry_results(data_seeds=(7,), levels=(0.0,), schedule=(0, 1, 4), early=False)
    fig, table = figures.draw(name, one)
    text = drawn.footer(fig)
    assert {"fig18": "n = 1 data seed,", "fig19": "n = 1 data seed."}.get(
        name, "One data seed (n = 1): no interval."
    ) in text
    if name != "fig18":
        assert table["low"].isna().all()
    assert "±" not in text and not any("±" in ax.get_title() for ax in fig.axes)
    assert set(table["view"]) <= {"unpermuted", "test"}
    assert not {"permuted", "restored"} & set(drawn.legends(fig)[0][1])
    assert drawn.overlaps(fig) == []


@pytest.mark.parametrize("name", ["fig16", "fig17"])
def test_a_value_undefined_in_one_run_leaves_a_gap_and_the_footer_says_so(results, name):
    point = {"model": "mlp", "level": 0.6, "view": "test", "layer": "fc3", "metric": "radius"}
    last = results.geometry.merge(best_frame(results), on=["model", "level", *RUN, "epoch"])
    epoch = int(drawn.chosen(last, model="mlp", level=0.6, data_seed=1, model_seed=0)["epoch"].iloc[0])
    gone = undefined(results, epoch=epoch, data_seed=1, model_seed=0, **point)
    fig, table = figures.draw(name, gone)
    _, before = figures.draw(name, results)
    lost = len(before) - len(table)
    assert lost == 1 and "Undefined, so left out: 1 of " in drawn.footer(fig)
    rows = drawn.chosen(table, **point)
    if name == "fig16":
        assert list(rows["at"]) == ["last epoch"]
    else:
        assert epoch not in set(rows["epoch"]) and not rows["carried"][rows["epoch"] < 20].any()


def best_frame(results):
    rows = []
    for model, level in (("mlp", 0.6),):
        for (d, m), epoch in best_epochs(results, model=model, level=level).items():
            rows.append({"model": model, "level": level, "data_seed": d, "model_seed": m, "epoch": epoch})
    return pd.DataFrame(rows)


def test_views_that_only_some_runs_lack_are_named(results):
    rows = drawn.chosen(results.geometry, model="mlp", level=0.6, view="permuted", data_seed=0).index
    geometry = results.geometry.copy()
    geometry.loc[rows, ["value", "error", "spread", "unstructured"]] = np.nan
    geometry.loc[rows, ["n", "points"]] = 0
    fig, table = figures.draw("fig16", results.replaced(geometry=geometry))
    text = drawn.footer(fig)
    assert "permuted at corruption 0, 0.6 (some runs); restored at corruption 0." in text
    assert set(drawn.chosen(table, model="mlp", level=0.6, view="permuted")["n"]) == {2}
    assert "n = 2 to 3 data seeds" in text and "M = 20 examples" in text
    assert any(ax.get_title().endswith("n = 2 to 3") for ax in fig.axes) and drawn.overlaps(fig) == []


@pytest.mark.parametrize("name", ["fig16", "fig17", "fig19"])
def test_a_grid_without_geometry_or_without_networks_is_refused(results, name):
    with pytest.raises(ValueError, match="geometry table holds no value of capacity.* configuration key 'geometry'"):
        figures.draw(name, results.replaced(geometry=results.geometry.head(0)))
    if name != "fig19":
        with pytest.raises(ValueError, match="history table holds no test accuracy .* for 12 runs"):
            figures.draw(name, results.replaced(history=results.history.head(0)))


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_other_metrics_splits_and_modes_change_nothing(results, made, name):
    other = results.geometry[results.geometry["metric"] == "radius"].assign(metric="axes_90", kappa=np.nan, value=9.0)
    losses = results.history.assign(metric="loss", value=1 - results.history["value"])
    given = results.probes.assign(split="validation", labels="given", value=0.0)
    more = results.replaced(
        geometry=pd.concat([other, results.geometry], ignore_index=True),
        history=pd.concat([losses, results.history], ignore_index=True),
        probes=pd.concat([given, results.probes], ignore_index=True),
    )
    pd.testing.assert_frame_equal(figures.draw(name, more)[1], made[name][1])


@pytest.mark.parametrize("name", NAMES)
def test_many_levels_layers_and_models_do_not_overlap(name):
    pairs = [("tiny-imagenet", "vgg16"), ("digits", "mlp")]
    options = {"noises": ("exclude_true",), "levels": (0.0, 0.2, 0.6), "data_seeds": range(2)}
    many = frames.geometry_results(pairs, simulated=("fc4", "pool5"), schedule=(0, 1, 4), **options)
    # One data set lacks a level.
    geometry = many.geometry[(many.geometry["dataset"] != "digits") | (many.geometry["level"] != 0.2)]
    fig, table = figures.draw(name, many.replaced(geometry=geometry))
    assert drawn.overlaps(fig) == []
    # Rows of panels are in the order of the configuration.
    points = table[["model", "level"]].drop_duplicates()
    assert list(points["model"]) == 3 * ["vgg16"] + 2 * ["mlp"] and list(points["level"]) == [0.0, 0.2, 0.6, 0.0, 0.6]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(name, tmp_path):
    small = frames.geometry_results(levels=(0.6,), data_seeds=range(2), schedule=(0, 1, 40))
    for folder in ("a", "b"):
        figures.save(*figures.draw(name, small), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv"):
        files = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert files[0] == files[1] and files[0]


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_a_type_in_every_column(made, name):
    arrow = pa.Table.from_pandas(made[name][1], preserve_index=False)
    assert pa.null() not in arrow.schema.types
    types = {"level": "double", "depth": "int64", "n": "int64", "unstructured": "double"}
    assert {column: str(arrow.schema.field(column).type) for column in types} == types
