"""Figures 20 to 22, and what figure 15 has of rewinding."""

from functools import cache, partial
from itertools import product

import drawn
import frames_rewinding
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from drawn import chosen
from frames_rewinding import KINDS, WEIGHTS
from matplotlib.lines import Line2D
from scipy import stats

from latentgen import figures, summary
from latentgen.figures import panels, rewinds
from latentgen.figures.stopping import STOPPED

pytestmark = pytest.mark.slow

NAMES = ["fig20", "fig21", "fig22"]
VIEWS = ["test", "unpermuted", "permuted", "restored"]
RUN = ["data_seed", "model_seed"]
POINTS = [{"model": "mlp", "level": 0.6}, {"model": "resnet18", "level": 0.0}]
CELL = {"model": "resnet18", "level": 0.6}
DIFF = ("diff", "diff_low", "diff_high")
STOPPING = "all layers put back: early stopping (oracle)"


@pytest.fixture(scope="module")
def results():
    pairs, ways = [("digits", "mlp"), ("digits", "resnet18")], ("rewound", "reestimated")
    options = {"levels": (0.0, 0.6), "data_seeds": range(3), "model_seeds": (0, 1), "schedule": (0, 1, 4, 30, 60)}
    return frames_rewinding.results(pairs, batch_norms=ways, validation=True, **options)


@pytest.fixture(scope="module")
def draw(results):
    """Figure of that name of the results, drawn once."""
    return cache(partial(figures.draw, results=results))


@pytest.fixture(scope="module")
def small():
    return frames_rewinding.results(data_seeds=(7,), schedule=(0, 1, 4), rerandomisations=0)


def over_seeds(values):
    """(mean, low, high) of {(data seed, model seed): value}, by SciPy."""
    seeds = sorted({seed for seed, _ in values})
    means = [np.mean([value for (seed, _), value in values.items() if seed == wanted]) for wanted in seeds]
    half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
    return np.mean(means), np.mean(means) - half, np.mean(means) + half


def numbers(row, prefix=("mean", "low", "high")):
    return row[list(prefix)].astype(float).to_numpy()


def put_back(results, choice, kind, layer, way, **point):
    """{(data seed, model seed): (epoch, test accuracy)} by loops over runs; the fixed choice is the last epoch."""
    rows = chosen(results.rewind, kind=kind, layer=layer, batch_norm=way, weights="saved", **point)
    found = {}
    for seeds, run in rows.groupby(RUN):
        views = {view: of.set_index("epoch")["value"].sort_index().to_dict() for view, of in run.groupby("view")}
        test = views["test"]
        seen = {"fixed": {epoch: epoch for epoch in test}, "oracle": test, "validation": views.get("validation")}[
            choice
        ]
        epoch = max(seen, key=seen.get)
        found[seeds] = epoch, test[epoch]
    return found


def networks(results, choice, way, **point):
    """The same with all layers: nothing put back (fixed), or early stopping."""
    return put_back(results, choice, "prefix", WEIGHTS[point["model"]][-1], way, **point)


def values(found):
    return {seeds: value for seeds, (_, value) in found.items()}


def gaps(found, early):
    return {seeds: value - early[seeds][1] for seeds, (_, value) in found.items()}


def proper(kind, layers):
    """Layers that name a set which is not the whole network."""
    return {"alone": layers, "prefix": layers[:-1], "suffix": layers[1:]}[kind]


def images(ax):
    """Values of the maps of a panel from left to right."""
    return [image.get_array().data for image in sorted(ax.images, key=lambda image: image.get_extent()[0])]


def maps(fig, level, names):
    """Panels of a level by what their second line of title says; of several rows the last."""
    found = {}
    for ax in fig.axes:
        title = ax.get_title().split("\n")
        if title[0].startswith(f"corruption {level:g},"):
            found[title[1]] = ax
    return [found[name] for name in names]


# --- figures 20 and 21: the maps ------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_cells_are_means_over_seeds_on_common_epochs(results, draw, name, point):
    _, table = draw(name)
    layers, way = WEIGHTS[point["model"]], "none" if point["model"] == "mlp" else "reestimated"
    rows = chosen(results.rewind, metric="accuracy", batch_norm=way, **point)
    epochs = {seeds: set(run["epoch"]) for seeds, run in rows.groupby(RUN)}
    every = sorted(set.union(*epochs.values()))
    common = [epoch for epoch in every if all(epoch in run or max(run) < epoch for run in epochs.values())]
    sets = product(["test"], KINDS) if name == "fig20" else product(VIEWS, ["suffix"])
    for (view, kind), layer in product(sets, layers):
        of_cell = chosen(rows, view=view, kind=kind, layer=layer).dropna(subset="value")
        drawn_cell = chosen(table, view=view, series=kind, layer=layer, **point)
        if of_cell.empty:
            assert drawn_cell.empty and point["level"] == 0 and view in ("permuted", "restored")
            continue
        assert set(drawn_cell["batch_norm"]) == {way} and set(drawn_cell["n"]) == {3}
        assert set(drawn_cell["n_runs"]) == {6}
        saved = chosen(drawn_cell, weights="saved")
        assert list(saved["epoch"]) == common
        for epoch in common:
            wanted = drawn.expected(chosen(of_cell, weights="saved"), epoch)
            assert drawn.stated(saved, epoch) == pytest.approx(wanted)
            stopped = sum(max(run) < epoch for run in epochs.values())
            assert chosen(saved, epoch=epoch)["n_measured"].iloc[0] == 6 - stopped
        draws = chosen(of_cell, weights="redrawn").groupby(RUN)["value"].mean().to_dict()
        (redrawn,) = (row for _, row in chosen(drawn_cell, weights="redrawn").iterrows())
        np.testing.assert_allclose(numbers(redrawn), over_seeds(draws))


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_maps_show_the_table_with_the_input_side_on_top(draw, name):
    fig, table = draw(name)
    titles = [rewinds.KINDS[kind] for kind in KINDS] if name == "fig20" else VIEWS
    for place, ax in enumerate(maps(fig, 0.6, titles)):
        view, kind = ("test", KINDS[place]) if name == "fig20" else (VIEWS[place], "suffix")
        cells = chosen(table, view=view, series=kind, **CELL)
        redrawn, saved = images(ax)
        epochs = sorted(set(chosen(cells, weights="saved")["epoch"]))
        for row, layer in enumerate(WEIGHTS["resnet18"]):
            of_layer = chosen(cells, layer=layer)
            values = chosen(of_layer, weights="saved").set_index("epoch")["mean"]
            np.testing.assert_allclose(saved[row], [100 * values[epoch] for epoch in epochs])
            np.testing.assert_allclose(redrawn[row], 100 * chosen(of_layer, weights="redrawn")["mean"])
        (left,), (right,) = redrawn.shape[1:], saved.shape[1:]
        assert (left, right) == (1, len(epochs)) and ax.get_ylim()[0] > ax.get_ylim()[1]
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels == (WEIGHTS["resnet18"] if place == 0 else [""] * 6)
        ticks = [label.get_text() for label in ax.get_xticklabels()]
        assert ticks[0] == "0" and ticks[-1] == f"{epochs[-1]:g}"


def test_the_ring_is_at_the_best_proper_set_in_every_view(results, draw):
    fig, table = draw("fig20")
    rings = {}
    for kind, ax in zip(KINDS, maps(fig, 0.6, rewinds.KINDS.values()), strict=True):
        layers = WEIGHTS["resnet18"]
        cells = chosen(table, series=kind, weights="saved", **CELL)
        means = {(row.epoch, layers.index(row.layer)): row.mean for row in cells.itertuples()}
        allowed = {key: value for key, value in means.items() if layers[key[1]] in proper(kind, layers)}
        epoch, place = max(sorted(allowed), key=allowed.get)
        (ring,) = (row for row in cells.itertuples() if row.best)
        assert (ring.epoch, ring.layer) == (epoch, layers[place])
        rings[kind] = ring.epoch, ring.layer
        epochs = sorted(set(cells["epoch"]))
        at = {tuple(line.get_xydata()[0]) for line in drawn.lines(ax) if line.get_marker() == "o"}
        assert at == {(epochs.index(epoch), place)}
        assert f"ring {100 * ring.mean:.1f}" in ax.get_title()
        whole = {row.layer for row in cells.itertuples() if row.whole}
        assert whole == set(layers) - set(proper(kind, layers))
    _, views = draw("fig21")
    for view in VIEWS:
        (ring,) = (row for row in chosen(views, view=view, weights="saved", **CELL).itertuples() if row.best)
        assert (ring.epoch, ring.layer) == rings["suffix"]
    # The oracle is one of saved epochs: redrawn weights cannot win.
    better = results.rewind["value"].where(results.rewind["weights"] == "saved", 1.0)
    _, table = figures.draw("fig20", results.replaced(rewind=results.rewind.assign(value=better)))
    assert set(table.loc[table["best"].eq(True), "weights"]) == {"saved"}


def test_of_equal_cells_the_earliest_epoch_and_the_shallowest_layer_has_the_ring(small):
    flat = small.replaced(rewind=small.rewind.assign(value=0.5))
    fig, table = figures.draw("fig20", flat)
    rings = table[table["best"].eq(True)].set_index("series")
    assert list(rings.loc[list(KINDS), "layer"]) == ["fc1", "fc1", "fc2"] and set(rings["epoch"]) == {0}
    assert drawn.overlaps(fig) == []


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_networks_at_their_end_and_best_are_marked(results, draw, name):
    fig, table = draw(name)
    model = chosen(table, series="model", **CELL).set_index("choice")
    for choice in ("fixed", "oracle"):
        runs = networks(results, choice, "reestimated", **CELL)
        np.testing.assert_allclose(numbers(model.loc[choice]), over_seeds(values(runs)))
        epochs = [epoch for epoch, _ in runs.values()]
        assert model.loc[choice, "epoch"] == pytest.approx(np.mean(epochs))
    stated = model.loc["oracle", ["first_best_epoch", "last_best_epoch"]]
    assert list(stated) == [min(epochs), max(epochs)]
    # Triangles on the last colour bar, bars over its maps.
    bar = [ax for ax in fig.axes if not ax.get_title()][-1]
    at = {line.get_markersize(): line.get_xdata()[0] for line in bar.lines if line.get_marker() == "v"}
    assert at[max(at)] == pytest.approx(100 * model.loc["oracle", "mean"])
    assert at[min(at)] == pytest.approx(100 * model.loc["fixed", "mean"])
    (ax,) = maps(fig, 0.6, ["single layer" if name == "fig20" else "restored"])
    stopped = f"early stopping {100 * model.loc['oracle', 'mean']:.1f}\xa0%"
    assert (stopped in ax.get_title()) == (name == "fig20")
    (line,) = [line for line in drawn.lines(ax) if line.get_marker() == "|"]
    saved = sorted(set(chosen(table, weights="saved", **CELL)["epoch"]))
    np.testing.assert_allclose(line.get_xdata(), np.interp([min(epochs), max(epochs)], saved, range(len(saved))))


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_colour_bars_say_what_the_colours_of_their_line_mean(results, draw, name):
    fig, table = draw(name)
    bars = [ax for ax in fig.axes if ax.images and ax.images[0].get_array().shape == (1, 256)]
    assert len(bars) == len(table[summary.GRID_POINT].drop_duplicates())
    for bar in bars:
        (image,) = bar.images
        line = [ax for ax in fig.axes if ax is not bar and ax.images and ax.images[0].norm is image.norm]
        assert line and all(panel.images[0].cmap == image.cmap for panel in line)
        left, right, *_ = image.get_extent()
        assert (left, right) == bar.get_xlim() == (image.norm.vmin, image.norm.vmax)
        # A colour stands where the axis has its value, to a 256th of its length.
        middles = left + (np.arange(256) + 0.5) * (right - left) / 256
        assert np.abs(image.get_array()[0] - middles).max() < (right - left) / 256
    # Of what is drawn as a bitmap, a PDF of many lines keeps the whole page for each.
    assert not [artist for artist in fig.findobj() if artist.get_rasterized()]


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_there_is_no_ring_where_the_last_epoch_is_best(small, name):
    # At the last epoch nothing is put back; here that is best of all, but for one layer of the suffixes.
    end = small.rewind["epoch"] == small.rewind["last_epoch"]
    gained = (small.rewind["kind"] == "suffix") & (small.rewind["layer"] == "fc3") & (small.rewind["epoch"] == 1)
    nothing = small.rewind.assign(value=small.rewind["value"].mask(end, 0.98))
    fig, table = figures.draw(name, small.replaced(rewind=nothing))
    titles = [ax.get_title().split("\n") for ax in fig.axes if ax.images and ax.get_title()]
    assert len(titles) == (3 if name == "fig20" else 4) and not table["best"].any()
    assert all(title[2].split(", ")[0] == "nothing gained" for title in titles)
    assert not any(line.get_marker() == "o" for ax in fig.axes for line in drawn.lines(ax))
    ((_, labels),) = drawn.legends(fig)
    assert not any("best test accuracy" in label for label in labels) and drawn.overlaps(fig) == []
    fig, table = figures.draw(name, small.replaced(rewind=nothing.assign(value=nothing["value"].mask(gained, 0.99))))
    rings = table[table["best"].eq(True)]
    assert set(rings["series"]) == {"suffix"} and set(rings["layer"]) == {"fc3"} and set(rings["epoch"]) == {1}
    titles = [ax.get_title() for ax in fig.axes if ax.images and ax.get_title()]
    assert sum("ring 99.0" in title for title in titles) == len(rings) == (1 if name == "fig20" else 4)
    assert sum("nothing gained" in title for title in titles) == (2 if name == "fig20" else 0)
    ((_, labels),) = drawn.legends(fig)
    assert "best test accuracy of a kind (oracle)" in labels


def test_maps_take_reestimated_statistics_where_there_are_and_others_where_not(results, draw):
    fig, table = draw("fig20")
    assert set(table["batch_norm"].dropna()) == {"none", "reestimated"}
    text = drawn.footer(fig)
    assert (
        "batch normalisation: running statistics of batch normalisation are estimated anew on training images" in text
    )
    assert "Statistics that go with their layer are left to Figure 22." in text
    along = results.rewind[results.rewind["batch_norm"] != "reestimated"]
    fig, table = figures.draw("fig20", results.replaced(rewind=along))
    assert set(table["batch_norm"].dropna()) == {"none", "rewound"}
    text = drawn.footer(fig)
    assert "that go with their layer (rewound)" in text and "anew" not in text and "left to" not in text
    plain = figures.draw("fig20", results.replaced(rewind=chosen(results.rewind, model="mlp")))[0]
    assert "normalisation" not in drawn.footer(plain)


def test_views_without_examples_are_left_out(draw):
    fig, table = draw("fig21")
    assert set(table.loc[table["level"] == 0, "view"]) == {"test", "unpermuted"}
    assert "Runs without mislabelled examples, at corruption 0, are left out" in drawn.footer(fig)
    assert sum(ax.get_title().startswith("corruption 0,") for ax in fig.axes) == 4
    assert "mislabelled" not in drawn.footer(draw("fig20")[0])


# --- figure 22 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [{"model": "mlp", "level": 0.6}, CELL])
def test_marks_are_the_best_epochs_of_each_layer(results, draw, point):
    _, table = draw("fig22")
    layers = WEIGHTS[point["model"]]
    ways = ["none"] if point["model"] == "mlp" else ["rewound", "reestimated"]
    for choice, kind, way in product(("oracle", "validation"), KINDS, ways):
        rows = chosen(table, series=kind, choice=choice, at="best epoch", batch_norm=way, **point)
        assert list(rows["layer"]) == proper(kind, layers)
        stopped = networks(results, choice, way, **point)
        for _, row in rows.iterrows():
            found = put_back(results, choice, kind, row["layer"], way, **point)
            np.testing.assert_allclose(numbers(row), over_seeds(values(found)))
            assert row["epoch"] == pytest.approx(np.mean([epoch for epoch, _ in found.values()]))
            np.testing.assert_allclose(numbers(row, DIFF), over_seeds(gaps(found, stopped)), atol=1e-12)


def test_initial_and_redrawn_layers_and_what_stands_beside(results, draw):
    fig, table = draw("fig22")
    for at, weights in (("initialisation", "saved"), ("redrawn", "redrawn")):
        rows = chosen(table, at=at, batch_norm="rewound", **CELL)
        assert list(rows["layer"]) == WEIGHTS["resnet18"] and set(rows["series"]) == {"alone"}
        assert set(rows["epoch"]) == {0} and set(rows["choice"]) == {"fixed"}
        stopped = networks(results, "oracle", "rewound", **CELL)
        for _, row in rows.iterrows():
            columns = {"kind": "alone", "layer": row["layer"], "epoch": 0, "weights": weights, "view": "test"}
            of_layer = chosen(results.rewind, batch_norm="rewound", **columns, **CELL)
            found = {seeds: (0, value) for seeds, value in of_layer.groupby(RUN)["value"].mean().items()}
            np.testing.assert_allclose(numbers(row), over_seeds(values(found)))
            np.testing.assert_allclose(numbers(row, DIFF), over_seeds(gaps(found, stopped)))
    readout = {"head": "replaced", "rows": "axis", "norm": "unit", "mix": 1.0, "bias": "zero", "split": "test"}
    rows = chosen(results.transfer, **readout, **CELL).sort_values("epoch")
    (transfer,) = (row for _, row in chosen(table, series="transfer", **CELL).iterrows())
    np.testing.assert_allclose(numbers(transfer), over_seeds(rows.groupby(RUN)["value"].last().to_dict()))
    assert transfer[list(DIFF)].isna().all()
    for way, choice in product(("rewound", "reestimated"), ("fixed", "oracle", "validation")):
        at = "end" if choice == "fixed" else "best epoch"
        (row,) = (row for _, row in chosen(table, series="model", batch_norm=way, choice=choice, **CELL).iterrows())
        found = networks(results, choice, way, **CELL)
        np.testing.assert_allclose(numbers(row), over_seeds(values(found)))
        early = gaps(found, networks(results, "oracle", way, **CELL))
        np.testing.assert_allclose(numbers(row, DIFF), over_seeds(early), atol=1e-12)
        assert row["at"] == at and row["epoch"] == pytest.approx(np.mean([epoch for epoch, _ in found.values()]))
    # Vertical lines: end and early stopping twice for each way, transfer and chance, in every panel.
    lines = chosen(table, **CELL)
    lines = lines[lines["layer"].isna()]
    assert len(lines) == 2 * 3 + 1
    for ax in maps(fig, 0.6, [*rewinds.KINDS.values(), "single layer, initial weights"]):
        at = sorted(line.get_xdata()[0] for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1])
        assert [x for x in at if x > 10] == pytest.approx(sorted(100 * lines["mean"]))
        assert 10.0 in at
    assert ax.get_xlim()[0] < 10


def test_oracles_are_hollow_and_colours_tell_ways_with_batch_norm(draw):
    fig, table = draw("fig22")
    layers = WEIGHTS["resnet18"]
    for kind, ax in zip(KINDS, maps(fig, 0.6, rewinds.KINDS.values()), strict=True):
        for choice, way in product(("oracle", "validation"), ("rewound", "reestimated")):
            colour = rewinds.LOOKS[way]
            face = "white" if choice == "oracle" else colour
            (line,) = [
                line
                for line in drawn.lines(ax)
                if (line.get_color(), line.get_markerfacecolor(), line.get_linestyle()) == (colour, face, "None")
            ]
            rows = chosen(table, series=kind, choice=choice, batch_norm=way, at="best epoch", **CELL)
            np.testing.assert_allclose(line.get_xdata(), 100 * rows["mean"])
            assert [layers[round(-y)] for y in line.get_ydata()] == list(rows["layer"])
    assert rewinds.LOOKS["rewound"] != rewinds.LOOKS["reestimated"]
    ((_, labels),) = drawn.legends(fig)
    assert {"at the best saved epoch (oracle)", "statistics rewound", "statistics re-estimated", "chance"} < set(labels)


def test_figure_22_without_transfer_held_out_labels_and_initial_weights(small):
    few = small.rewind[(small.rewind["epoch"] > 0)]
    plain = small.replaced(rewind=few, transfer=small.transfer.iloc[:0])
    fig, table = figures.draw("fig22", plain)
    assert set(table["series"]) == {*KINDS, "model"} and set(table["choice"]) == {"fixed", "oracle"}
    assert set(table["at"]) == {"end", "best epoch"} and len(fig.axes) == 3
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types
    ((_, labels),) = drawn.legends(fig)
    assert labels == ["at the best saved epoch (oracle)", "network at its end", STOPPING]
    text = drawn.footer(fig)
    assert not any(word in text for word in ("held-out", "Re-randomised", "On the right", "normalisation"))
    assert drawn.overlaps(fig) == []


def test_models_without_held_out_rows_have_no_choice_on_them(results, draw):
    lacking = (results.rewind["model"] == "mlp") & (results.rewind["view"] == "validation")
    _, table = figures.draw("fig22", results.replaced(rewind=results.rewind[~lacking]))
    _, every = draw("fig22")
    spare = (every["model"] == "mlp") & (every["choice"] == "validation")
    assert spare.any() and (every["model"] == "resnet18").any()
    pd.testing.assert_frame_equal(table, every[~spare].reset_index(drop=True))


def test_lines_have_colours_of_their_way_where_there_are_several(results, draw):
    fig, table = draw("fig22")
    looks = {"fixed": panels.NETWORK, **STOPPED}
    for model, ways in (("mlp", ["none"]), ("resnet18", ["reestimated", "rewound"])):
        for level in (0.0, 0.6):
            of_level = [ax for ax in fig.axes if ax.get_title().startswith(f"corruption {level:g},")]
            shown = of_level[:4] if model == "mlp" else of_level[4:]
            for ax, way, choice in product(shown, ways, looks):
                own = chosen(table, series="model", model=model, level=level, batch_norm=way, choice=choice)
                look = looks[choice] | ({"color": rewinds.LOOKS[way]} if len(ways) > 1 else {})
                wanted = Line2D([], [], **look)
                x = pytest.approx(100 * own["mean"].iloc[0])
                alike = [
                    line for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1] and line.get_xdata()[0] == x
                ]
                styles = [(line.get_color(), line.get_linestyle(), line.get_linewidth()) for line in alike]
                assert (wanted.get_color(), wanted.get_linestyle(), wanted.get_linewidth()) in styles
    sentence = "Networks of each way have lines of its colour."
    assert sentence in drawn.footer(fig)
    anew = results.rewind[results.rewind["batch_norm"] != "rewound"]
    assert sentence not in drawn.footer(figures.draw("fig22", results.replaced(rewind=anew))[0])


# --- figure 15 ------------------------------------------------------------------------------------


def test_figure_15_has_a_line_for_each_kind_and_way(results, draw):
    fig, table = draw("fig15")
    names = ("probes", "history", "transfer", "edit", "relabel", "rewind")
    headline = summary.headline(**{name: getattr(results, name) for name in names})
    rows = table[table["quantity"].str.startswith("rewind")]
    # Without layers put back; with all, one, the first or the last ones, by either choice; for each model and way.
    assert len(rows) == 2 * (1 + 2) * (1 + 4 * 2)
    for _, row in rows.iterrows():
        names = ["model", "level", "batch_norm", "quantity", "choice"]
        (wanted,) = (r for _, r in chosen(headline, **{name: row[name] for name in names}).iterrows())
        np.testing.assert_array_equal(numbers(row), numbers(wanted))
        for choice, column in (("oracle", "diff"), ("validation", "validation_diff")):
            columns = (column, f"{column}_low", f"{column}_high")
            if row["choice"] not in ("fixed", choice):
                assert row[list(columns)].isna().all()
                continue
            key = {name: row[name] for name in names} | {"quantity": f"{row['quantity']}_minus_model_best_epoch"}
            (gap,) = (r for _, r in chosen(headline, **key | {"choice": choice}).iterrows())
            np.testing.assert_array_equal(numbers(row, columns), numbers(gap))
    (first, *_) = [ax for ax in fig.axes if ax.get_title() == "corruption 0"]
    labels = [label.get_text() for label in first.get_yticklabels()][-4:]
    assert labels == [
        f"rewound: {what}" for what in ("none, all layers", "single layer", "first layers", "last layers")
    ]
    text = drawn.footer(fig)
    assert "statistics treated alike" in text and "Re-estimated" in text and drawn.overlaps(fig) == []


@pytest.mark.parametrize("way", ["rewound", "reestimated"])
def test_figure_15_holds_rewinding_against_none_and_all_layers_of_the_same_table(results, draw, way):
    _, table = draw("fig15")
    rows = chosen(table, batch_norm=way, **CELL).set_index(["quantity", "choice"])
    none = networks(results, "fixed", way, **CELL)
    np.testing.assert_allclose(numbers(rows.loc["rewind_none", "fixed"]), over_seeds(values(none)))
    for choice, column in (("oracle", "diff"), ("validation", "validation_diff")):
        columns = (column, f"{column}_low", f"{column}_high")
        stopped = networks(results, choice, way, **CELL)
        np.testing.assert_allclose(numbers(rows.loc["rewind_all_best", choice]), over_seeds(values(stopped)))
        for kind in KINDS:
            row, found = rows.loc[f"rewind_{kind}_best", choice], {}
            view = "test" if choice == "oracle" else "validation"
            cells = chosen(results.rewind, kind=kind, batch_norm=way, weights="saved", **CELL)
            for seeds, run in cells.groupby(RUN):
                test, seen = (
                    chosen(run, view=v).set_index(["epoch", "layer"])["value"].to_dict() for v in ("test", view)
                )
                order = [key for key in seen if key[1] in proper(kind, WEIGHTS["resnet18"])]
                order.sort(key=lambda key: (key[0], WEIGHTS["resnet18"].index(key[1])))
                cell = max(order, key=seen.get)
                found[seeds] = cell[0], test[cell]
            np.testing.assert_allclose(numbers(row), over_seeds(values(found)))
            np.testing.assert_allclose(numbers(row, columns), over_seeds(gaps(found, stopped)), atol=1e-12)


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_states_what_it_shows(draw, name):
    fig, table = draw(name)
    text = drawn.footer(fig)
    for phrase in ["n = 3 data seeds", "interval", "true label", "oracle", "early stopping", "(top)"]:
        assert phrase in text
    assert "Model seeds of a data seed are averaged first." in text and "mean over 2 draws" in text
    assert fig.get_size_inches()[0] <= 7.0 + 1e-9
    assert min(text.get_fontsize() for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    assert pa.null() not in arrow.schema.types
    assert list(dict.fromkeys(table["model"])) == ["mlp", "resnet18"]


@pytest.mark.parametrize("name", NAMES)
def test_only_accuracies_count_in_any_order(results, draw, name):
    others = results.rewind.assign(metric="loss", value=1.0)
    mixed = pd.concat([others, results.rewind]).sample(frac=1, random_state=0).sort_values("model", kind="stable")
    wanted = draw(name)[1]
    pd.testing.assert_frame_equal(figures.draw(name, results.replaced(rewind=mixed))[1], wanted)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval(small, name):
    fig, table = figures.draw(name, small)
    assert "One data seed (n = 1): no interval." in drawn.footer(fig)
    assert table["low"].isna().all() and table["mean"].notna().all() and "redrawn" not in set(table.get("at", ()))
    assert drawn.overlaps(fig) == []


@pytest.mark.parametrize("name", NAMES)
def test_deep_networks_and_many_epochs_fit(name):
    options = {"noises": ("ketha2026",), "levels": (0.0, 0.5), "data_seeds": range(2), "schedule": range(31)}
    deep = frames_rewinding.results([("tiny-imagenet", "vgg16")], **options)
    fig, table = figures.draw(name, deep)
    assert table["layer"].nunique() == 14 and drawn.overlaps(fig) == []
    if name != "fig22":
        fig.canvas.draw()
        for ax in (ax for ax in fig.axes if ax.images and ax.get_title()):
            boxes = sorted((label.get_window_extent() for label in ax.get_xticklabels()), key=lambda box: box.x0)
            assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False)) and 3 <= len(boxes) < 31


@pytest.mark.parametrize("name", NAMES)
def test_tables_without_what_it_shows_are_refused(results, name):
    for rows in (results.rewind.iloc[:0], chosen(results.rewind, view="permuted")):
        with pytest.raises(ValueError, match=r"no test accuracy of a rewound network.*'interventions\.rewind'"):
            figures.draw(name, results.replaced(rewind=rows))


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_accuracies_are_not_taken_from_the_history(results, draw, name):
    wanted = draw(name)[1]
    other = results.history.assign(value=1 - results.history["value"]).query("data_seed > 0")
    pd.testing.assert_frame_equal(figures.draw(name, results.replaced(history=other))[1], wanted)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_examples_than_there_are_are_stated(results, small, name):
    assert "Scored on 1" not in drawn.footer(figures.draw(name, small)[0])
    few = small.replaced(rewind=small.rewind.assign(n=100))
    # Training examples are unpermuted or permuted ones, 100 of each; figure 21 alone shows them.
    training = " and 200 of 450 training" if name == "fig21" else ""
    text = drawn.footer(figures.draw(name, few)[0])
    assert f"Scored on 100 of 450 test{training} examples, drawn once for a data seed." in text
    # Nothing is said of runs whose numbers are not known; without corruption none is permuted.
    training = " and 100 to 200 of 450 training" if name == "fig21" else ""
    part = results.history[results.history["data_seed"] > 0]
    few = results.replaced(rewind=results.rewind.assign(n=results.rewind["n"].clip(upper=100)), history=part)
    text = drawn.footer(figures.draw(name, few)[0])
    assert f"Scored on 100 of 450 test{training} examples, drawn once for a data seed." in text
    unknown = few.replaced(history=results.history.iloc[:0])
    assert "Scored on 1" not in drawn.footer(figures.draw(name, unknown)[0])


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(small, name, tmp_path):
    for folder in ("a", "b"):
        figures.save(*figures.draw(name, small), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv"):
        made = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert made[0] == made[1] and made[0]


# --- networks of one layer ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def single(results):
    """A network whose only layer with weights is the output, beside one with more."""
    output = chosen(results.rewind, model="mlp", kind="prefix", layer="output")
    others = chosen(results.rewind, model="resnet18")
    return results.replaced(rewind=pd.concat([*(output.assign(kind=kind) for kind in KINDS), others]))


@pytest.mark.parametrize("name", ["fig20", "fig21"])
@pytest.mark.parametrize("alone", [True, False])
def test_maps_of_one_layer_are_the_network_over_the_epochs(single, name, alone):
    shown = single.replaced(rewind=chosen(single.rewind, model="mlp")) if alone else single
    fig, table = figures.draw(name, shown)
    point = {"model": "mlp", "level": 0.6}
    cells = chosen(table, view="test", series="suffix", weights="saved", **point)
    rows = chosen(single.rewind, view="test", kind="suffix", weights="saved", **point)
    for _, row in cells.iterrows():
        np.testing.assert_allclose(numbers(row), drawn.expected(rows, row["epoch"]))
    assert len(cells) > 3 and cells["whole"].all() and not chosen(table, model="mlp")["best"].any()
    top = [ax for ax in fig.axes if ax.get_title().startswith("corruption 0.6,")][: 3 if name == "fig20" else 4]
    assert all("nothing gained" in ax.get_title() for ax in top)
    assert all(image.get_array().shape[0] == 1 for ax in top for image in ax.images)
    assert not any(line.get_color() == "white" or line.get_marker() == "o" for ax in top for line in drawn.lines(ax))
    assert drawn.overlaps(fig) == []


@pytest.mark.parametrize("alone", [True, False])
def test_figure_22_of_one_layer_has_lines_alone(single, alone):
    shown = single.replaced(rewind=chosen(single.rewind, model="mlp")) if alone else single
    fig, table = figures.draw("fig22", shown)
    rows = chosen(table, model="mlp", level=0.6)
    assert set(rows["series"]) == {"model", "transfer"} and rows["layer"].isna().all()
    for choice in ("fixed", "oracle", "validation"):
        found = networks(single, choice, "none", model="mlp", level=0.6)
        (row,) = (row for _, row in chosen(rows, series="model", choice=choice).iterrows())
        np.testing.assert_allclose(numbers(row), over_seeds(values(found)))
    panels_of = [ax for ax in fig.axes if ax.get_title().startswith("corruption 0.6,")]
    assert len(panels_of) == (3 if alone else 7)
    for ax in panels_of[:3]:
        at = [line.get_xdata()[0] for line in drawn.lines(ax) if line.get_marker() == "None"]
        chance = [] if alone else [10.0]
        assert sorted(at) == pytest.approx(sorted([*(100 * rows["mean"]), *chance]))
        assert len(ax.lines) == len(at) and not ax.get_yticks().size
    ((_, labels),) = drawn.legends(fig)
    assert ("chance" in labels) == (not alone)
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types
    assert drawn.overlaps(fig) == []
