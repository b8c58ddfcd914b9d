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
from latentgen.figures import catalogue
from latentgen.figures.geometry import views
from latentgen.figures.page import axes
from latentgen.geometry.views import VIEWS
from latentgen.numbers import tidy

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
    return {name: drawn.draw(name, results) for name in NAMES}


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


def over_seeds(values, metric=None):
    """(mean, low, high) of {(data seed, model seed): value}, by SciPy; of capacity and radius they are geometric."""
    if metric in ("capacity", "radius"):
        return np.exp(over_seeds({seeds: np.log(value) for seeds, value in values.items()}))
    seeds = sorted({seed for seed, _ in values})
    means = [np.mean([value for (seed, _), value in values.items() if seed == wanted]) for wanted in seeds]
    half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
    return np.mean(means), np.mean(means) - half, np.mean(means) + half


def titled(sheet, *parts):
    """Panels whose title begins with these lines."""
    return [ax for ax in sheet.axes if drawn.title(ax).split("\n")[: len(parts)] == list(parts)]


def column(sheet, top):
    """Panels under and with ``top``, as far as the next heading, from the top down."""
    rows = drawn.rows(sheet)
    first = next(place for place, row in enumerate(rows) if top in row)
    end = next((k for k in range(first + 1, len(rows)) if any(map(drawn.heading, rows[k]))), len(rows))
    place = top.get_subplotspec().colspan.start
    return [ax for row in rows[first:end] for ax in row if ax.get_subplotspec().colspan.start == place]


def numbered(ax):
    """Whether the y axis has numbers."""
    return any(label.get_visible() and label.get_text() for label in ax.get_yticklabels())


def fits(sheet):
    """Whether nothing overlaps, pages are small enough and letters large enough."""
    sizes = [page.get_size_inches() for page in sheet.pages]
    letters = sheet.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    return (
        drawn.overlaps(sheet) == []
        and all(width <= 7.0 + 1e-9 and height <= 9.0 + 1e-9 for width, height in sizes)
        and min(text.get_fontsize() for text in letters) >= 7
    )


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
        pd.testing.assert_frame_equal(figures.draw(name, drawn_from).table, made[name][1])


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
        wanted = over_seeds({seeds: rows.loc[(*seeds, epoch), "value"] for seeds, epoch in epochs.items()}, metric)
        np.testing.assert_allclose([row["mean"], row["low"], row["high"]], wanted)
        assert (row["first_epoch"], row["last_epoch"]) == (min(epochs.values()), max(epochs.values()))
        assert (row["n"], row["n_runs"], row["unstructured"]) == (3, 6, pytest.approx(0.1))
        assert row["choice"] == ("oracle" if at == "best epoch" else "fixed")
        if metric == "capacity":
            errors = [rows.loc[(*seeds, epoch), "error"] for seeds, epoch in epochs.items()]
            assert row["error"] == pytest.approx(np.mean(errors))


def test_figure_16_draws_the_table_in_order_of_depth(made):
    sheet, table = made["fig16"]
    assert list(drawn.blocks(sheet)) == ["digits, mlp, uniform noise"]
    layers = [*frames.LAYERS["mlp"], "output"]
    for at in ("best epoch", "last epoch"):
        points = drawn.chosen(table, level=0.6, at=at)
        first, last = points["first_epoch"].iloc[0], points["last_epoch"].iloc[0]
        epochs = f"{first}" if first == last else f"{first} to {last}"
        (top,) = titled(sheet, "level 0.6", f"{at} {epochs}" + " (oracle)" * (at == "best epoch"))
        stack = column(sheet, top)
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
    sheet, _ = made["fig16"]
    for level in (0, 0.6):
        best, last = titled(sheet, f"level {level:g}")
        for a, b in zip(column(sheet, best), column(sheet, last), strict=True):
            assert a.get_ylim() == b.get_ylim() and numbered(a) and not numbered(b)


def test_figure_16_has_logarithmic_axes_of_what_has_geometric_means(made):
    sheet, _ = made["fig16"]
    scales = [ax.get_yscale() for ax in column(sheet, titled(sheet, "level 0.6")[0])]
    assert scales == ["log", "log", "linear", "linear"]
    for name in ("fig16", "fig17"):
        assert "Axes of capacity and radius are logarithmic." in made[name][0].caption
        assert "Means and intervals of capacity and radius are geometric." in made[name][0].caption


def test_the_last_layer_is_named_where_not_all_have_room():
    vgg = frames.geometry_results(
        [("cifar100", "vgg16")], levels=(0.2, 0.6), data_seeds=(0,), schedule=(0, 1, 4), classes=100
    )
    sheet, _ = drawn.draw("fig16", vgg)
    names = [[label.get_text() for label in ax.get_xticklabels() if label.get_visible()] for ax in sheet.axes]
    assert [bool(labels) for labels in names] == [False] * 12 + [True] * 4
    assert all(labels[-1] == "output" or labels[0] == "output" for labels in names if labels)
    assert all(len(labels) == 10 for labels in names if labels) and fits(sheet)
    assert "indicative" not in sheet.caption and "P = 100 classes" in sheet.caption


# --- figure 17 ------------------------------------------------------------------------------------


def test_figure_17_carries_runs_that_stopped_and_averages_over_data_seeds(results, made):
    _, table = made["fig17"]
    point = {"model": "mlp", "level": 0.6, "layer": "output", "view": "restored"}
    rows = drawn.chosen(results.geometry, metric="radius", **point)
    ends = rows.groupby(RUN)["epoch"].max()
    assert ends.nunique() > 1
    for epoch in (0, 4, 60):
        row = drawn.chosen(table, metric="radius", epoch=epoch, **point)
        # The mean of radii is geometric.
        wanted = np.exp(drawn.expected(rows.assign(value=np.log(rows["value"])), epoch))
        np.testing.assert_allclose(drawn.stated(row, epoch), wanted)
        assert row["n_measured"].item() == (ends >= epoch).sum() and row["carried"].item() == (ends < epoch).any()


def test_figure_17_draws_the_table_and_marks_best_epochs(results, made):
    sheet, table = made["fig17"]
    for level in (0.0, 0.6):
        measures = drawn.blocks(sheet)[f"digits, mlp, uniform noise, level {level:g}"]
        titles = [drawn.title(ax) for ax in measures[0]]
        assert titles == ["fc1", "fc2", "fc3", "fc4", "output"]
        assert [ax.get_ylabel() for row in measures for ax in row if ax.get_ylabel()] == [
            *["capacity", "radius", "dimension"]
        ]
        best = best_epochs(results, model="mlp", level=level).values()
        for layer in ("fc1", "fc3", "output"):
            stack = [row[titles.index(layer)] for row in measures]
            points = drawn.chosen(table, model="mlp", level=level, layer=layer)
            assert set(points["first_best_epoch"]) == {min(best)} and set(points["last_best_epoch"]) == {max(best)}
            for ax, metric in zip(stack, ("capacity", "radius", "dimension"), strict=True):
                for view in VIEWS:
                    of_view = drawn.chosen(points, metric=metric, view=view)
                    assert line_of(ax, view) == pytest.approx(dict(zip(of_view["epoch"], of_view["mean"], strict=True)))
                upright = [line.get_xdata()[0] for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1]]
                assert upright == sorted({min(best), max(best)})


def test_figure_17_has_five_layers_even_over_depth():
    epochs = (0, 1, 10, 100, 1000)
    vgg = frames.geometry_results([("cifar100", "vgg16")], levels=(0.6,), data_seeds=(0,), schedule=epochs)
    sheet, table = drawn.draw("fig17", vgg)
    layers = ["conv1_1", "conv2_2", "pool3", "conv5_1", "output"]
    assert list(dict.fromkeys(table["layer"])) == layers
    assert [drawn.title(ax) for ax in sheet.axes if drawn.title(ax)] == layers
    assert drawn.heading(sheet.axes[0]) == "cifar100, vgg16, uniform noise, level 0.6"
    assert "at most five, even over depth, the last included; not the input" in sheet.caption
    assert fits(sheet)


def test_panels_stand_closer_where_they_share_the_numbers_of_an_axis(made):
    def gaps(name):
        sheet = made[name][0]
        (page,) = map(drawn.laid_out, sheet.pages)
        boxes = [ax.get_position() for ax in drawn.rows(sheet)[-1]]
        assert np.ptp([box.width for box in boxes]) < 1e-3
        return [page.get_figwidth() * (b.x0 - a.x1) for a, b in zip(boxes, boxes[1:], strict=False)]

    # The best and the last epoch of one level, then of the other.
    within, between, within_other = gaps("fig16")
    assert within == pytest.approx(within_other, abs=0.02) and within < between / 1.5
    assert np.ptp(gaps("fig17")) < 0.02 and max(gaps("fig17")) < between / 1.5
    for name, shown in (("fig16", [1, 0, 1, 0]), ("fig17", [1, 0, 0, 0, 0]), ("fig18", [1, 1]), ("fig19", [1] * 4)):
        for row in drawn.rows(made[name][0]):
            assert [numbered(ax) for ax in row] == [bool(number) for number in shown[: len(row)]]


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
    (sheet, table), sides = made["fig18"], set()
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
        (ax,) = titled(sheet, f"level {level:g}")
        for series in ("axes removed", "axes kept"):
            points = drawn.chosen(table, level=level, series=series)
            wanted = sorted(zip(points["measured"], points["theory"], strict=True))
            np.testing.assert_allclose(marks(ax, hollow=series == "axes kept"), wanted)
            r = np.corrcoef(np.log(points["measured"]), np.log(points["theory"]))[0, 1]
            deviation = np.mean(points["theory"] / points["measured"]) - 1
            assert set(points["n_points"]) == {len(points)} and set(points["n"]) == {3}
            np.testing.assert_allclose(points[["correlation", "deviation"]].drop_duplicates(), [[r, deviation]])
            side = "above" if deviation > 0 else "below"
            text = f"{series.split()[-1]}: r = {r:.2f}, theory {abs(100 * deviation):.0f} % {side}".replace("-", "−")
            assert text in drawn.title(ax).replace("\xa0", " ").split("\n")
            sides.add((series, side))
    # Both words are tried.
    assert {side for _, side in sides} == {"above", "below"}
    counts = table["n_points"]
    assert f"not averaged; {counts.min()} to {counts.max()} marks of a panel and kind" in sheet.caption
    assert "theory is above or below the measurement, mean relative deviation" in sheet.caption


def test_figure_18_has_bars_equality_and_2_over_m(made):
    sheet, table = made["fig18"]
    (ax,) = titled(sheet, "level 0.6")
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
    sheet, table = drawn.draw("fig18", without(results, metric="simulated_capacity_raw"))
    assert set(table["series"]) == {"axes removed"} and not any("kept:" in drawn.title(ax) for ax in sheet.axes)
    assert "axes kept" not in drawn.legends(sheet)[0][1]
    gone = undefined(results, metric="simulated_capacity", view="test", layer="output", model="mlp", level=0.6)
    sheet, table = drawn.draw("fig18", gone)
    assert drawn.chosen(table, series="axes removed", view="test", layer="output", model="mlp", level=0.6).empty
    assert "Undefined, so left out: 6 of " in sheet.caption
    simulated = results.geometry[~results.geometry["metric"].str.startswith("simulated")]
    with pytest.raises(ValueError, match="no value of simulated_capacity.*'geometry.simulated'"):
        figures.draw("fig18", results.replaced(geometry=simulated))
    with pytest.raises(ValueError, match="no mean-field capacity where capacity was measured"):
        figures.draw("fig18", without(results, metric="capacity"))


def test_figure_18_warns_of_a_margin(results, made):
    assert "without a margin" not in made["fig18"][0].caption
    geometry = results.geometry.assign(kappa=results.geometry["kappa"] + 0.5)
    text = drawn.draw("fig18", results.replaced(geometry=geometry))[0].caption
    # It weighs most.
    assert "κ = 0.5" in text and "\n1. Measured without a margin, theory with one" in text


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


def latent_panels(sheet, level):
    """Panels of a level, from the left."""
    (row,) = next(rows for heading, rows in drawn.blocks(sheet).items() if f"level {level:g}," in heading)
    return row


def test_figure_19_sets_the_same_checkpoints_side_by_side(results, made):
    sheet, table = made["fig19"]
    found = by_hand(results, 0.6)
    each, best, permuted, restored = latent_panels(sheet, 0.6)
    assert drawn.heading(each) == "digits, mlp, uniform noise, level 0.6, n = 3"
    assert [drawn.title(ax).split("\n")[0] for ax in (each, best, permuted, restored)] == [
        *["MASC, each layer (%)", "MASC, best layer (%)", "MASC − network (points)", "MASC − network (points)"]
    ]
    assert each.get_xlabel() == "test capacity,\nsame layer" and best.get_xlabel() == "test capacity,\nfc4"
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
        assert ax.get_xlabel() == f"{view} capacity,\nfc4"
        assert [line.get_color() for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 0]] == ["0.6"]
    row = drawn.chosen(table, panel="gap, permuted", model="mlp", level=0.6).iloc[0]
    values = found[(row["data_seed"], row["model_seed"]), row["epoch"]]["masc"]
    assert row["best_layer"] == max(values, key=values.get) and row["layer"] == "fc4"


@pytest.mark.parametrize("view", ["permuted", "restored"])
def test_figure_19_correlates_within_runs(results, made, view):
    sheet, table = made["fig19"]
    found, stopped = by_hand(results, 0.6), best_epochs(results, model="mlp", level=0.6)
    x = capacity(results, 0.6, view, "fc4")
    (ax,) = [ax for ax in latent_panels(sheet, 0.6) if ax.get_xlabel().startswith(view)]
    row = drawn.chosen(table, panel=f"gap, {view}", model="mlp", level=0.6).iloc[0]
    for prefix, word in (("", "all epochs"), ("later_", "later")):
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
        text = f"ρ, {word}: {wanted[0]:.2f}".replace("-", "−")
        assert text in drawn.title(ax).split("\n")
    assert (row["n"], row["n_points"]) == (3, len(found))


def test_figure_19_prints_no_interval_of_two_data_seeds(four):
    sheet, table = drawn.draw("fig19", four)
    row = drawn.chosen(table, level=0.6, panel="gap, permuted").iloc[0]
    text = f"ρ, all epochs: {row['spearman']:.2f} ± {row['high'] - row['spearman']:.2f}".replace("-", "−")
    assert text in drawn.title(latent_panels(sheet, 0.6)[2]).split("\n")
    assert "mean over data seeds with its 95 % Student t interval (±)" in sheet.caption
    assert "fewer than 4 data seeds" not in sheet.caption and fits(sheet)
    two = frames.geometry_results(data_seeds=(0, 1), schedule=SCHEDULE)
    sheet, table = drawn.draw("fig19", two)
    for level in (0.0, 0.6):
        titles = [drawn.title(ax) for ax in latent_panels(sheet, level)]
        for panel, title in zip(drawn.chosen(table, level=level)["panel"].unique(), titles, strict=True):
            row = drawn.chosen(table, level=level, panel=panel).iloc[0]
            assert f": {row['spearman']:.2f}\n".replace("-", "−") in title + "\n" and "±" not in title
    text = sheet.caption
    assert "mean over data seeds, without interval (fewer than 4 data seeds with ρ)" in text and "±" not in text
    # The table has the intervals nevertheless.
    assert table[["low", "high"]].notna().all(axis=None) and (table["high"] - table["spearman"]).max() > 2


def test_figure_19_counts_the_data_seeds_that_have_a_correlation(four):
    # Of one data seed nothing is measured after the second epoch, so that it has no correlation of its own.
    short = (four.probes["data_seed"] == 2) & (four.probes["epoch"] > 1) & (four.probes["level"] == 0.6)
    sheet, table = drawn.draw("fig19", four.replaced(probes=four.probes[~short]))
    each, best, permuted, restored = latent_panels(sheet, 0.6)
    assert set(drawn.chosen(table, level=0.6)["n"]) == {4}
    assert "ρ, all epochs: " in drawn.title(permuted)
    assert not any("±" in drawn.title(ax) for ax in (best, permuted, restored))
    # Layers make enough marks of two epochs.
    assert "±" in drawn.title(each) and all("±" in drawn.title(ax) for ax in latent_panels(sheet, 0.0))
    assert "interval (±; left out where fewer than 4 data seeds have ρ)" in sheet.caption


def test_figure_19_leaves_out_the_input_and_views_that_are_empty(made):
    sheet, table = made["fig19"]
    assert "input" not in set(table["layer"]) | set(table["best_layer"].dropna())
    assert set(drawn.chosen(table, level=0.0)["panel"]) == {"each layer", "best layer"}
    assert len(latent_panels(sheet, 0.0)) == 2
    assert set(table.loc[table["series"] == "model", "fit_labels"].isna()) == {True}


def test_figure_19_needs_the_probe_at_the_same_checkpoints(results):
    with pytest.raises(ValueError, match="no test accuracy of probe 'masc'"):
        figures.draw("fig19", results.replaced(probes=drawn.chosen(results.probes, probe="velpic")))
    elsewhere = results.probes.assign(epoch=results.probes["epoch"] + 1000)
    with pytest.raises(ValueError, match="no checkpoint with capacity, the probe 'masc'"):
        figures.draw("fig19", results.replaced(probes=elsewhere))


def test_figure_19_colours_epochs_from_dark_to_light(made):
    sheet, _ = made["fig19"]
    (legend,) = sheet.pages[0].legends
    epochs = {
        int(text.get_text().removeprefix("epoch ")): handle.get_color()
        for text, handle in zip(legend.get_texts(), legend.get_lines(), strict=True)
        if text.get_text().startswith("epoch ")
    }
    assert list(epochs)[0] == 0 and max(epochs) == 60 and 3 < len(epochs) <= 8
    lightness = [
        np.dot([int(colour[i : i + 2], 16) for i in (1, 3, 5)], [0.2126, 0.7152, 0.0722]) for colour in epochs.values()
    ]
    assert (np.diff(lightness) > 0).all()


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_states_what_it_shows(made, name):
    sheet, table = made[name]
    text = sheet.caption
    for phrase in [
        *["n = 3 data seeds", "P = 10 classes, M = 20 examples", "κ = 0.", "with P = 10 its values are indicative"],
        *["mislabelled training examples, by the given label", "nothing is fitted on some", "classes per feature"],
        "Not drawn, some class having fewer than two examples: permuted and restored at level 0.",
        "after the axes that class centres share are removed",
    ]:
        assert phrase in text
    assert ("oracle: chosen on test data" in text) == ("oracle" in text) == (name != "fig18")
    assert ("thin lines: the runs, too few for an interval" in text) == (name in ("fig16", "fig17"))
    assert ("1.96 standard errors within a run" in text) == ("not independent" in text) == (name == "fig18")
    assert ("fitted on the given (noisy) labels" in text) == (name == "fig19")
    assert ("take no test labels, but the true labels of the training set" in text) == (name == "fig19")
    assert ("not what would foretell another run" in text) == (name == "fig19")
    ((_, labels),) = drawn.legends(sheet)
    assert views.UNSTRUCTURED_LABEL in labels and ("no difference" in labels) == (name == "fig19")
    assert ("network's best epoch (oracle)" in labels) == (name == "fig17")
    assert fits(sheet) and len(sheet.pages) == 1
    assert set(table["n"]) == {3}


@pytest.mark.parametrize("name", ["fig16", "fig17"])
def test_captions_state_how_stable_capacities_are(results, name):
    geometry = results.geometry.copy()
    rows = drawn.chosen(geometry, metric="capacity", layer="output", level=0.6, view="test").index
    geometry.loc[rows, "error"] = 0.034 * geometry.loc[rows, "value"]
    geometry.loc[rows, "spread"] = 0.021 * geometry.loc[rows, "value"]
    # What other measures depend on is not said.
    others = drawn.chosen(geometry, metric="radius").index
    geometry.loc[others, "spread"] = geometry.loc[others, "value"]
    text = drawn.draw(name, results.replaced(geometry=geometry))[0].caption
    assert "Of the capacity of a single run, restarts of the search for centre axes differ by up to 2.1 % of it" in text
    assert "the standard error over random directions is up to 3.4 %" in text


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval_and_missing_views_no_line(name):
    one = frames.geometry_results(data_seeds=(7,), levels=(0.0,), schedule=(0, 1, 4), early=False)
    sheet, table = drawn.draw(name, one)
    text = sheet.caption
    assert {"fig18": "n = 1 data seed,", "fig19": "n = 1 data seed."}.get(
        name, "One data seed (n = 1): no interval."
    ) in text
    if name != "fig18":
        assert table["low"].isna().all()
    assert "±" not in text and not any("±" in drawn.title(ax) for ax in sheet.axes)
    assert not any(drawn.runs(ax) for ax in sheet.axes) and "geometric" not in text
    assert set(table["view"]) <= {"unpermuted", "test"}
    assert not {"permuted", "restored"} & set(drawn.legends(sheet)[0][1])
    assert fits(sheet)


@pytest.mark.parametrize("name", ["fig16", "fig17"])
def test_a_value_undefined_in_one_run_leaves_a_gap_and_the_caption_says_so(results, name):
    point = {"model": "mlp", "level": 0.6, "view": "test", "layer": "fc3", "metric": "radius"}
    last = results.geometry.merge(best_frame(results), on=["model", "level", *RUN, "epoch"])
    epoch = int(drawn.chosen(last, model="mlp", level=0.6, data_seed=1, model_seed=0)["epoch"].iloc[0])
    gone = undefined(results, epoch=epoch, data_seed=1, model_seed=0, **point)
    sheet, table = drawn.draw(name, gone)
    before = figures.draw(name, results).table
    lost = len(before) - len(table)
    assert lost == 1 and "Undefined, so left out: 1 of " in sheet.caption
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
    sheet, table = drawn.draw("fig16", results.replaced(geometry=geometry))
    text = sheet.caption
    assert "permuted at level 0, 0.6 (some runs); restored at level 0." in text
    assert set(drawn.chosen(table, model="mlp", level=0.6, view="permuted")["n"]) == {2}
    assert "n = 2 to 3 data seeds" in text and "M = 20 examples" in text
    titles = [drawn.title(ax).splitlines()[:2] for ax in drawn.rows(sheet)[0]]
    assert titles == [["level 0", "n = 3"]] * 2 + [["level 0.6", "n = 2 to 3"]] * 2 and fits(sheet)


@pytest.mark.parametrize("name", ["fig16", "fig17"])
def test_zero_on_a_logarithmic_axis_is_left_out_and_counted(results, made, name):
    geometry, point = results.geometry.copy(), {"level": 0.6, "view": "permuted", "layer": "fc2", "epoch": 60}
    rows = drawn.chosen(geometry, metric="radius", **point).index
    geometry.loc[rows, "value"] = 0.0
    sheet, table = drawn.draw(name, results.replaced(geometry=geometry))
    assert f"Zero, so left out of logarithmic axes: {len(rows)} of " in sheet.caption
    assert "Zero" not in made[name][0].caption and len(made[name][1]) - len(table) == 1
    at = {"at": "last epoch"} if name == "fig16" else {"epoch": 60}
    assert drawn.chosen(table, metric="radius", level=0.6, view="permuted", layer="fc2", **at).empty


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
    pd.testing.assert_frame_equal(figures.draw(name, more).table, made[name][1])


@pytest.mark.parametrize("name", NAMES)
def test_many_levels_layers_and_models_do_not_overlap(name):
    pairs = [("tiny-imagenet", "vgg16"), ("digits", "mlp")]
    options = {"noises": ("exclude_true",), "levels": (0.0, 0.2, 0.6), "data_seeds": range(2)}
    many = frames.geometry_results(pairs, simulated=("fc4", "pool5"), schedule=(0, 1, 4), **options)
    # One data set lacks a level.
    geometry = many.geometry[(many.geometry["dataset"] != "digits") | (many.geometry["level"] != 0.2)]
    sheet, table = drawn.draw(name, many.replaced(geometry=geometry))
    assert fits(sheet)
    # Rows of panels are in the order of the configuration.
    points = table[["model", "level"]].drop_duplicates()
    assert list(points["model"]) == 3 * ["vgg16"] + 2 * ["mlp"] and list(points["level"]) == [0.0, 0.2, 0.6, 0.0, 0.6]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(name, tmp_path):
    small = frames.geometry_results(levels=(0.6,), data_seeds=range(2), schedule=(0, 1, 40))
    for folder in ("a", "b"):
        figures.save(figures.draw(name, small), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv", "md"):
        files = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert files[0] == files[1] and files[0]


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_a_type_in_every_column(made, name):
    arrow = pa.Table.from_pandas(made[name][1], preserve_index=False)
    assert pa.null() not in arrow.schema.types
    types = {"level": "double", "depth": "int64", "n": "int64", "unstructured": "double"}
    assert {column: str(arrow.schema.field(column).type) for column in types} == types


# --- what a reader chooses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fig16", "fig17"])
def test_a_reader_chooses_layers_and_levels(results, made, name):
    sheet, table = drawn.draw(name, results, layers=["output", "fc2"], levels=[0.6])
    whole = made[name][1]
    wanted = whole[whole["layer"].isin(["fc2", "output"]) & (whole["level"] == 0.6)]
    pd.testing.assert_frame_equal(table, wanted.reset_index(drop=True))
    # What is left out is not spoken of.
    assert "at level 0." not in sheet.caption
    (rows,) = drawn.blocks(sheet).values()
    if name == "fig16":
        assert {drawn.title(ax).split("\n")[0] for ax in rows[0]} == {"level 0.6"}
        assert [label.get_text() for label in rows[-1][0].get_xticklabels()] == ["output", "fc2"]
    else:
        assert [drawn.title(ax) for ax in rows[0]] == ["fc2", "output"]
        before = drawn.blocks(made[name][0])["digits, mlp, uniform noise, level 0.6"]
        for row, same in zip(rows, before, strict=True):
            for ax, ax_before in ((row[0], same[1]), (row[1], same[4])):
                assert all(line_of(ax, view) == line_of(ax_before, view) for view in VIEWS)


def test_a_reader_sees_layers_that_figure_17_leaves_out_by_default():
    deep = frames.geometry_results([("cifar10", "vgg16")], levels=(0.6,), data_seeds=(0,), schedule=(0, 1, 10))
    sheet, table = drawn.draw("fig17", deep, layers=["input", "conv3_2"])
    assert set(table["layer"]) == {"input", "conv3_2"}
    assert [drawn.title(ax) for ax in drawn.rows(sheet)[0]] == ["input", "conv3_2"]


def test_numbers_of_figure_18_are_of_the_layers_that_a_reader_chooses(results, made):
    sheet, table = drawn.draw("fig18", results, layers=["output"], levels=[0.6])
    whole = drawn.chosen(made["fig18"][1], layer="output", level=0.6).reset_index(drop=True)
    told = ["correlation", "deviation", "n_points"]
    pd.testing.assert_frame_equal(table.drop(columns=told), whole.drop(columns=told))
    (ax,) = sheet.axes
    for series, points in table.groupby("series"):
        r = np.corrcoef(np.log(points["measured"]), np.log(points["theory"]))[0, 1]
        assert f"{series.split()[-1]}: r = {r:.2f}," in drawn.title(ax) and set(points["n_points"]) == {len(points)}
    assert "24 marks of a panel and kind" in sheet.caption and "at level 0." not in sheet.caption


def test_figure_19_has_levels_to_choose_but_no_layers(results, made):
    sheet, table = drawn.draw("fig19", results, levels=[0.6])
    pd.testing.assert_frame_equal(table, drawn.chosen(made["fig19"][1], level=0.6).reset_index(drop=True))
    assert len(drawn.rows(sheet)) == 1 and "at level 0." not in sheet.caption
    with pytest.raises(ValueError, match="no lines or panels of single layers; leave 'layers' out"):
        figures.draw("fig19", results, layers=["fc1"])


@pytest.mark.parametrize("name", ["fig16", "fig17", "fig18"])
def test_a_reader_colours_one_view(results, made, name):
    drawn.assert_one_recoloured(name, results, made[name], "permuted", "restored")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_reader_cannot_choose_is_named(results, name):
    layers = "fc2, output" if name == "fig18" else "fc1, fc2, fc3, fc4, input, output"
    wrong = [({"levels": [0.3]}, "no level 0.3; there are 0.0, 0.6"), ({"colours": {"fc1": "red"}}, "no line 'fc1'")]
    if name != "fig19":
        wrong.append(({"layers": ["fc2", "fc9"]}, f"no layer 'fc9'; there are {layers}$"))
    for chosen, message in wrong:
        with pytest.raises(ValueError, match=message):
            figures.draw(name, results, **chosen)
