"""Figures 20 to 22, and what figure 15 has of rewinding."""

import string
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
from scipy import stats

from latentgen import figures, summary

pytestmark = pytest.mark.slow

NAMES = ["fig20", "fig21", "fig22"]
#: What the panels of each set of layers are called.
TITLES = {"alone": "single layer", "prefix": "first layers", "suffix": "last layers"}
INITIAL = "initial weights,"
#: In the order of the panels.
VIEWS = ["test", "unpermuted", "restored", "permuted"]
RUN = ["data_seed", "model_seed"]
POINTS = [{"model": "mlp", "level": 0.6}, {"model": "resnet18", "level": 0.0}]
CELL = {"model": "resnet18", "level": 0.6}
DIFF = ("diff", "diff_low", "diff_high")
END, STOPPING = "network at its end", "all layers put back: early stopping (oracle)"
PLAIN, HELD_OUT, TRANSFER = (
    "no batch normalisation",
    "early stopping on held-out noisy labels",
    "weight transfer at the end, zero bias",
)
WAYS = {"reestimated": "statistics re-estimated", "rewound": "statistics rewound"}


@pytest.fixture(scope="module")
def results():
    pairs, ways = [("digits", "mlp"), ("digits", "resnet18")], ("rewound", "reestimated")
    options = {"levels": (0.0, 0.6), "data_seeds": range(3), "model_seeds": (0, 1), "schedule": (0, 1, 4, 30, 60)}
    return frames_rewinding.results(pairs, batch_norms=ways, validation=True, **options)


@pytest.fixture(scope="module")
def draw(results):
    """(sheet, table) of the figure of that name of the results, drawn once."""
    return cache(partial(drawn.draw, results=results))


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


def panels(sheet, level, model="resnet18"):
    """Panels of a grid point, from left to right, by the first line of their titles."""
    start = f"digits, {model}, uniform noise, level {level:g}, n = "
    ((row,),) = (rows for name, rows in drawn.blocks(sheet).items() if name.startswith(start))
    return {drawn.title(ax).splitlines()[0]: ax for ax in row}


def images_at(ax):
    """Left and right ends of the maps of a panel, from left to right."""
    return sorted(tuple(image.get_extent()[:2]) for image in ax.images)


def ring_at(ax):
    """Places of rings in a heat map."""
    return {tuple(line.get_xydata()[0]) for line in drawn.lines(ax) if line.get_marker() == "o"}


def colour_bars(panels):
    """Colour bars of panels, by the titles of those that have its colours."""
    bars = [image.colorbar for ax in panels.values() for image in ax.images if image.colorbar is not None]
    return {tuple(name for name, ax in panels.items() if colours(ax.images[0]) == colours(bar)): bar for bar in bars}


def colours(drawn_with):
    return drawn_with.cmap.name, drawn_with.norm.vmin, drawn_with.norm.vmax


def overlaps(sheet):
    """Those of panels, headings and legends, and those of colour bars."""
    found = drawn.overlaps(sheet)
    for page in sheet.pages:
        axes = [ax for ax in sheet.axes if ax.figure is page]
        bars = [image.colorbar.ax for ax in axes for image in ax.images if image.colorbar is not None]
        boxes = [ax.get_tightbbox() for ax in (*bars, *axes)]
        for i, box in enumerate(boxes[: len(bars)]):
            if box.x0 < 0 or box.y0 < 0 or box.x1 > page.bbox.x1 or box.y1 > page.bbox.y1:
                found.append(("colour bar", "page"))
            others = boxes[i + 1 :]
            found += [("colour bar", "another") for other in others if box.overlaps(other)]
    return found


def epochs_named(ax):
    """(place, text) of the ticks of a heat map that name epochs."""
    ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    return [(place, label) for place, label in ticks if label.get_text().split()[0].isdigit()]


def legend(sheet):
    """Entries of the legend below the first page, by their labels."""
    (found,) = sheet.pages[0].legends
    texts = [text.get_text() for text in found.get_texts()]
    return dict(zip(texts, found.legend_handles, strict=True))


def upright(ax):
    """Lines over the whole height of a panel."""
    return [line for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1]]


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
    sheet, table = draw(name)
    shown = panels(sheet, 0.6)
    assert list(shown) == (list(TITLES.values()) if name == "fig20" else VIEWS)
    for place, ax in enumerate(shown.values()):
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
        labels = [label.get_text() for label in ax.get_yticklabels() if label.get_visible()]
        assert labels == (WEIGHTS["resnet18"] if place == 0 else [])
        named = [(epochs[round(at)], int(label.get_text().split()[0])) for at, label in epochs_named(ax)]
        assert all(epoch == text for epoch, text in named) and named[0][0] == 0 and named[-1][0] == epochs[-1]
        random = [at for at, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True) if "random" in str(label)]
        assert random == [np.mean(images_at(ax)[0])] and random[0] < -0.5


def test_the_ring_is_at_the_best_proper_set_in_every_view(results, draw):
    sheet, table = draw("fig20")
    layers, rings = WEIGHTS["resnet18"], {}
    for kind, ax in zip(KINDS, panels(sheet, 0.6).values(), strict=True):
        cells = chosen(table, series=kind, weights="saved", **CELL)
        means = {(row.epoch, layers.index(row.layer)): row.mean for row in cells.itertuples()}
        allowed = {key: value for key, value in means.items() if layers[key[1]] in proper(kind, layers)}
        epoch, place = max(sorted(allowed), key=allowed.get)
        (ring,) = (row for row in cells.itertuples() if row.best)
        assert (ring.epoch, ring.layer) == (epoch, layers[place])
        rings[kind] = ring.epoch, ring.layer
        assert ring_at(ax) == {(sorted(set(cells["epoch"])).index(epoch), place)}
        assert f"ring {100 * ring.mean:.1f}" in drawn.title(ax)
        whole = {row.layer for row in cells.itertuples() if row.whole}
        assert whole == set(layers) - set(proper(kind, layers))
        # Between it and the others there is a white line.
        white = [set(line.get_ydata()) for line in drawn.lines(ax) if line.get_color() == "white"]
        assert white == {"alone": [], "prefix": [{len(layers) - 1.5}], "suffix": [{0.5}]}[kind]
    sheet, views = draw("fig21")
    for view, ax in panels(sheet, 0.6).items():
        cells = chosen(views, view=view, weights="saved", **CELL)
        (ring,) = (row for row in cells.itertuples() if row.best)
        assert (ring.epoch, ring.layer) == rings["suffix"]
        assert ring_at(ax) == {(sorted(set(cells["epoch"])).index(ring.epoch), layers.index(ring.layer))}
        assert drawn.title(ax) == f"{view}\nring {100 * ring.mean:.1f}\xa0%, epoch {ring.epoch:.0f}"
    # The oracle is one of saved epochs: redrawn weights cannot win.
    better = results.rewind["value"].where(results.rewind["weights"] == "saved", 1.0)
    table = figures.draw("fig20", results.replaced(rewind=results.rewind.assign(value=better))).table
    assert set(table.loc[table["best"].eq(True), "weights"]) == {"saved"}


def test_of_equal_cells_the_earliest_epoch_and_the_shallowest_layer_has_the_ring(small):
    flat = small.replaced(rewind=small.rewind.assign(value=0.5))
    sheet, table = drawn.draw("fig20", flat)
    rings = table[table["best"].eq(True)].set_index("series")
    assert list(rings.loc[list(KINDS), "layer"]) == ["fc1", "fc1", "fc2"] and set(rings["epoch"]) == {0}
    assert overlaps(sheet) == []


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_networks_at_their_end_and_best_are_marked(results, draw, name):
    sheet, table = draw(name)
    model = chosen(table, series="model", **CELL).set_index("choice")
    for choice in ("fixed", "oracle"):
        runs = networks(results, choice, "reestimated", **CELL)
        np.testing.assert_allclose(numbers(model.loc[choice]), over_seeds(values(runs)))
        epochs = [epoch for epoch, _ in runs.values()]
        assert model.loc[choice, "epoch"] == pytest.approx(np.mean(epochs))
    stated = model.loc["oracle", ["first_best_epoch", "last_best_epoch"]]
    assert list(stated) == [min(epochs), max(epochs)]
    # Triangles at the colour bar, and a bar between each map and the names of its epochs.
    shown = panels(sheet, 0.6)
    of_bars = {
        names: [line for line in bar.ax.lines if line.get_marker() == ">"] for names, bar in colour_bars(shown).items()
    }
    assert of_bars.pop(("permuted",), []) == []
    (triangles,) = of_bars.values()
    at = {line.get_markersize(): line.get_ydata()[0] for line in triangles}
    assert at[max(at)] == pytest.approx(100 * model.loc["oracle", "mean"])
    assert at[min(at)] == pytest.approx(100 * model.loc["fixed", "mean"])
    stopped = f"\nstopped {100 * model.loc['oracle', 'mean']:.1f}\xa0%"
    saved = sorted(set(chosen(table, weights="saved", **CELL)["epoch"]))
    drawn.laid_out(sheet.pages[0])
    for ax in shown.values():
        assert drawn.title(ax).endswith(stopped) == (name == "fig20")
        (line,) = [line for line in drawn.lines(ax) if line.get_marker() == "|"]
        np.testing.assert_allclose(line.get_xdata(), np.interp([min(epochs), max(epochs)], saved, range(len(saved))))
        box, names = line.get_window_extent(), [label.get_window_extent() for _, label in epochs_named(ax)]
        assert max(name.y1 for name in names) < box.y0 < box.y1 < ax.bbox.y0
    assert ("Stopped, in titles: early stopping." in sheet.caption) == (name == "fig20")
    assert "Triangles at the colour bar: the network itself." in sheet.caption


@pytest.mark.parametrize("name", ["fig20", "fig21"])
@pytest.mark.parametrize(("model", "level"), [*product(["mlp", "resnet18"], [0.0, 0.6])])
def test_colour_bars_say_what_the_colours_of_their_panels_mean(draw, name, model, level):
    sheet, table = draw(name)
    shown, rows = panels(sheet, level, model), chosen(table, model=model, level=level)
    bars = colour_bars(shown)
    apart = [("permuted",)] if name == "fig21" and level else []
    assert list(bars) == [tuple(title for title in shown if title != "permuted"), *apart]
    assert {bar.ax.get_ylabel() for bar in bars.values()} == {"accuracy (%)", *(["memorised (%)"] if apart else [])}
    assert len({bar.cmap.name for bar in bars.values()}) == len(bars)
    for titles, bar in bars.items():
        assert {colours(image) for title in titles for image in shown[title].images} == {colours(bar)}
        memorised = rows["view"] == "permuted"
        values = 100 * rows.loc[memorised if titles == ("permuted",) else ~memorised, "mean"]
        assert (bar.norm.vmin, bar.norm.vmax) == pytest.approx((values.min(), values.max()))
        assert bar.ax.get_ylim() == pytest.approx((bar.norm.vmin, bar.norm.vmax))
        # A colour stands where the axis has its value, to a 256th of its length.
        edges = bar.solids.get_coordinates()[:, 0, 1]
        middles, length = (edges[1:] + edges[:-1]) / 2, bar.norm.vmax - bar.norm.vmin
        assert len(middles) > 200 and np.abs(bar.solids.get_array().ravel() - middles).max() < length / 256
    # Of what is drawn as a bitmap, a PDF of many lines keeps the whole page for each.
    assert not sheet.findobj(lambda artist: artist.get_rasterized())


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_there_is_no_ring_where_the_last_epoch_is_best(small, name):
    # At the last epoch nothing is put back; here that is best of all, but for one layer of the suffixes.
    end = small.rewind["epoch"] == small.rewind["last_epoch"]
    gained = (small.rewind["kind"] == "suffix") & (small.rewind["layer"] == "fc3") & (small.rewind["epoch"] == 1)
    nothing = small.rewind.assign(value=small.rewind["value"].mask(end, 0.98))
    sheet, table = drawn.draw(name, small.replaced(rewind=nothing))
    titles = [drawn.title(ax).split("\n") for ax in sheet.axes]
    assert len(titles) == (3 if name == "fig20" else 4) and not table["best"].any()
    assert all(title[1] == "nothing gained" for title in titles)
    assert not any(ring_at(ax) for ax in sheet.axes)
    ((_, labels),) = drawn.legends(sheet)
    assert not any("best test accuracy" in label for label in labels) and overlaps(sheet) == []
    sheet, table = drawn.draw(name, small.replaced(rewind=nothing.assign(value=nothing["value"].mask(gained, 0.99))))
    rings = table[table["best"].eq(True)]
    assert set(rings["series"]) == {"suffix"} and set(rings["layer"]) == {"fc3"} and set(rings["epoch"]) == {1}
    titles = [drawn.title(ax) for ax in sheet.axes]
    assert sum("ring 99.0" in title for title in titles) == len(rings) == (1 if name == "fig20" else 4)
    assert sum("nothing gained" in title for title in titles) == (2 if name == "fig20" else 0)
    ((_, labels),) = drawn.legends(sheet)
    assert "best test accuracy of a heat map (oracle)" in labels


def test_maps_take_reestimated_statistics_where_there_are_and_others_where_not(results, draw):
    sheet, table = draw("fig20")
    assert set(table["batch_norm"].dropna()) == {"none", "reestimated"}
    assert (
        "batch normalisation: running statistics of batch normalisation are estimated anew on training images"
        in sheet.caption
    )
    assert "Statistics that go with their layer are left to Figure 22." in sheet.caption
    along = results.rewind[results.rewind["batch_norm"] != "reestimated"]
    sheet, table = drawn.draw("fig20", results.replaced(rewind=along))
    assert set(table["batch_norm"].dropna()) == {"none", "rewound"}
    assert "that go with their layer (rewound)" in sheet.caption
    assert "anew" not in sheet.caption and "left to" not in sheet.caption
    plain, _ = drawn.draw("fig20", results.replaced(rewind=chosen(results.rewind, model="mlp")))
    assert "normalisation" not in plain.caption


def test_views_without_examples_are_left_out(results, draw):
    sheet, table = draw("fig21")
    assert set(table.loc[table["level"] == 0, "view"]) == {"test", "unpermuted"}
    left_out = "Runs without mislabelled examples, at level 0, are left out of those views."
    assert left_out in sheet.caption and "mislabelled" not in draw("fig20")[0].caption
    for model in ("mlp", "resnet18"):
        assert list(panels(sheet, 0.0, model)) == ["test", "unpermuted"]
    # Where no panel is of them, the others fill the page.
    alone, _ = drawn.draw("fig21", results, levels=[0.0])
    assert left_out in alone.caption and overlaps(alone) == []
    ax = panels(alone, 0.0)["unpermuted"]
    assert drawn.laid_out(ax.figure).bbox.x1 - ax.bbox.x1 < ax.bbox.width / 2


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
    sheet, table = draw("fig22")
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
    shown = panels(sheet, 0.6)
    assert list(shown) == [*TITLES.values(), INITIAL]
    for ax in shown.values():
        at = sorted(line.get_xdata()[0] for line in upright(ax))
        assert [x for x in at if x > 10] == pytest.approx(sorted(100 * lines["mean"]))
        assert 10.0 in at
    assert shown[INITIAL].get_xlim()[0] < 10 and drawn.title(shown[INITIAL]) == "initial weights,\nsingle layer"


def marks(ax, names):
    """{(colour, colour of the face, marker): (values in %, layers)} of a panel with the layers ``names``."""
    return {
        (line.get_color(), line.get_markerfacecolor(), line.get_marker()): (
            line.get_xdata(),
            [names[round(-y)] for y in line.get_ydata()],
        )
        for line in drawn.lines(ax)
        if line.get_linestyle() == "None"
    }


def test_panels_have_marks_of_each_way_and_choice(draw):
    sheet, table = draw("fig22")
    entries = legend(sheet)
    shown = panels(sheet, 0.6)
    for kind, title in TITLES.items():
        ax, wanted = shown[title], {}
        for choice, way in product(("oracle", "validation"), WAYS):
            colour = entries[WAYS[way]].get_color()
            looks = (colour, "white", "o") if choice == "oracle" else (colour, colour, "^")
            wanted[looks] = chosen(table, series=kind, choice=choice, batch_norm=way, at="best epoch", **CELL)
        assert_marks(marks(ax, WEIGHTS["resnet18"]), wanted)
    wanted = {
        (entries[WAYS[way]].get_color(), entries[WAYS[way]].get_color(), marker): chosen(
            table, at=at, batch_norm=way, **CELL
        )
        for (at, marker), way in product((("initialisation", "D"), ("redrawn", "x")), WAYS)
    }
    assert_marks(marks(shown[INITIAL], WEIGHTS["resnet18"]), wanted)
    names = [[label.get_text() for label in ax.get_yticklabels() if label.get_visible()] for ax in shown.values()]
    assert names == [WEIGHTS["resnet18"], [], [], []]
    assert len({entries[label].get_color() for label in WAYS.values()}) == 2
    for _, labels in drawn.legends(sheet):
        assert {"at the best saved epoch (oracle)", *WAYS.values(), "chance"} < set(labels)
        assert {"at epoch 0, re-initialised", "re-randomised: another initialisation"} < set(labels)
        assert "at the epoch chosen on held-out noisy labels" in labels


def assert_marks(found, wanted):
    assert set(found) == set(wanted)
    for looks, rows in wanted.items():
        values, layers = found[looks]
        np.testing.assert_allclose(values, 100 * rows["mean"])
        assert layers == list(rows["layer"]) and len(layers) > 4


def test_figure_22_without_transfer_held_out_labels_and_initial_weights(small):
    few = small.rewind[(small.rewind["epoch"] > 0)]
    plain = small.replaced(rewind=few, transfer=small.transfer.iloc[:0])
    sheet, table = drawn.draw("fig22", plain)
    assert set(table["series"]) == {*KINDS, "model"} and set(table["choice"]) == {"fixed", "oracle"}
    assert set(table["at"]) == {"end", "best epoch"} and len(sheet.axes) == 3
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types
    ((_, labels),) = drawn.legends(sheet)
    assert labels == ["at the best saved epoch (oracle)", END, STOPPING]
    absent = ("held-out", "Re-randomised", "last column", "normalisation", "eight transfer")
    assert not any(word in sheet.caption for word in absent)
    assert overlaps(sheet) == []


def test_models_without_held_out_rows_have_no_choice_on_them(results, draw):
    lacking = (results.rewind["model"] == "mlp") & (results.rewind["view"] == "validation")
    table = figures.draw("fig22", results.replaced(rewind=results.rewind[~lacking])).table
    _, every = draw("fig22")
    spare = (every["model"] == "mlp") & (every["choice"] == "validation")
    assert spare.any() and (every["model"] == "resnet18").any()
    pd.testing.assert_frame_equal(table, every[~spare].reset_index(drop=True))


def test_lines_have_colours_of_their_way_where_there_are_several(results, draw):
    sheet, table = draw("fig22")
    entries = legend(sheet)
    lines = {"fixed": END, "oracle": STOPPING, "validation": HELD_OUT}
    for level, (model, ways) in product((0.0, 0.6), (("mlp", ["none"]), ("resnet18", ["reestimated", "rewound"]))):
        for ax, way, choice in product(panels(sheet, level, model).values(), ways, lines):
            own = chosen(table, series="model", model=model, level=level, batch_norm=way, choice=choice)
            entry = entries[lines[choice]]
            colour = entries[WAYS[way]].get_color() if len(ways) > 1 else entry.get_color()
            x = pytest.approx(100 * own["mean"].iloc[0])
            looks = [look(line) for line in upright(ax) if line.get_xdata()[0] == x]
            assert (colour, *look(entry)[1:]) in looks
        for ax in panels(sheet, level, model).values():
            x = pytest.approx(100 * chosen(table, series="transfer", model=model, level=level)["mean"].iloc[0])
            assert look(entries[TRANSFER]) in [look(line) for line in upright(ax) if line.get_xdata()[0] == x]
            assert look(entries["chance"]) in [look(line) for line in upright(ax) if line.get_xdata()[0] == 10]
    assert len({look(entries[name]) for name in (*lines.values(), TRANSFER, "chance")}) == 5
    sentence = "Networks of each way with batch normalisation have lines of its colour."
    assert sentence in sheet.caption
    anew = results.rewind[results.rewind["batch_norm"] != "rewound"]
    assert sentence not in drawn.draw("fig22", results.replaced(rewind=anew))[0].caption


def look(line):
    return line.get_color(), line.get_linestyle(), line.get_linewidth()


def test_the_caption_of_figure_22_says_what_was_fitted_and_chosen(draw):
    text = draw("fig22")[0].caption
    for phrase in [
        "Rewinding fits nothing.",
        "axes of weight transfer are fitted with the given (noisy) labels of the training examples",
        "scored on all test examples",
        "ticks: the runs, too few for an interval",
        "found in each run on test data (an oracle)",
        "chosen in each run on held-out noisy labels",
        "rewinding gains more by chance",
    ]:
        assert phrase in text


# --- figure 15 ------------------------------------------------------------------------------------


def test_figure_15_has_a_line_for_each_kind_and_way(results, draw):
    sheet, table = draw("fig15")
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
    labels = [label.get_text() for label in drawn.panel(sheet, 0.0).get_yticklabels()][-4:]
    assert labels == [
        f"rewound: {what}" for what in ("none, all layers", "single layer", "first layers", "last layers")
    ]
    assert "statistics treated alike" in sheet.caption and "Re-estimated" in sheet.caption
    assert overlaps(sheet) == []


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
    sheet, table = draw(name)
    for phrase in [
        "n = 3 data seeds",
        "interval",
        "true label",
        "oracle",
        "early stopping",
        "input side at the top",
    ]:
        assert phrase in sheet.caption
    assert "Model seeds of a data seed are averaged first." in sheet.caption and "mean over 2 draws" in sheet.caption
    assert "chosen on test data" in sheet.caption or "on test data (an oracle)" in sheet.caption
    assert all((page.get_size_inches() <= (7.0 + 1e-9, 9.0 + 1e-9)).all() for page in sheet.pages)
    assert min(text.get_fontsize() for text in sheet.findobj(lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert [drawn.letter(ax) for ax in sheet.axes] == list(string.ascii_lowercase)[: len(sheet.axes)]
    assert overlaps(sheet) == []
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    assert pa.null() not in arrow.schema.types
    assert list(dict.fromkeys(table["model"])) == ["mlp", "resnet18"]


@pytest.mark.parametrize("name", NAMES)
def test_only_accuracies_count_in_any_order(results, draw, name):
    others = results.rewind.assign(metric="loss", value=1.0)
    mixed = pd.concat([others, results.rewind]).sample(frac=1, random_state=0).sort_values("model", kind="stable")
    wanted = draw(name)[1]
    pd.testing.assert_frame_equal(figures.draw(name, results.replaced(rewind=mixed)).table, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval(small, name):
    sheet, table = drawn.draw(name, small)
    assert "One data seed (n = 1): no interval." in sheet.caption and "intervals of" not in sheet.caption
    assert table["low"].isna().all() and table["mean"].notna().all() and "redrawn" not in set(table.get("at", ()))
    assert overlaps(sheet) == []


@pytest.mark.parametrize("name", NAMES)
def test_deep_networks_and_many_epochs_fit(name):
    options = {"noises": ("ketha2026",), "levels": (0.0, 0.5), "data_seeds": range(2), "schedule": range(31)}
    deep = frames_rewinding.results([("tiny-imagenet", "vgg16")], **options)
    sheet, table = drawn.draw(name, deep)
    assert table["layer"].nunique() == 14 and overlaps(sheet) == []
    for ax in sheet.axes if name != "fig22" else ():
        assert 3 <= len(epochs_named(ax)) < 31 and apart(ax)


@pytest.mark.parametrize("name", ["fig20", "fig21"])
@pytest.mark.parametrize("redrawn", [0, 2])
def test_long_names_of_layers_and_epochs_fit(name, redrawn):
    few = frames_rewinding.results(data_seeds=(7,), schedule=range(5), rerandomisations=redrawn)
    rewind = few.rewind.assign(layer="encoder.block10." + few.rewind["layer"])
    rewind = rewind.assign(epoch=2500 * rewind["epoch"], last_epoch=2500 * rewind["last_epoch"])
    sheet, _ = drawn.draw(name, few.replaced(rewind=rewind))
    assert overlaps(sheet) == []
    for ax in sheet.axes:
        first, *_, last = [int(label.get_text().split()[0]) for _, label in epochs_named(ax)]
        assert (first, last) == (0, 10000) and apart(ax)


def apart(ax):
    """Whether the names under a heat map, in two lines, leave one another room."""
    found = True
    words = [label for label in ax.get_xticklabels() if any(word in label.get_text() for word in ("random", "epoch"))]
    for line in ([label for _, label in epochs_named(ax)], words):
        boxes = sorted((label.get_window_extent() for label in line), key=lambda box: box.x0)
        found &= all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
    return found and [label.get_text().strip()[-5:] for label in words].count("epoch") == 1


@pytest.mark.parametrize("name", NAMES)
def test_tables_without_what_it_shows_are_refused(results, name):
    for rows in (results.rewind.iloc[:0], chosen(results.rewind, view="permuted")):
        with pytest.raises(ValueError, match=r"no test accuracy of a rewound network.*'interventions\.rewind'"):
            figures.draw(name, results.replaced(rewind=rows))


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_accuracies_are_not_taken_from_the_history(results, draw, name):
    wanted = draw(name)[1]
    other = results.history.assign(value=1 - results.history["value"]).query("data_seed > 0")
    pd.testing.assert_frame_equal(figures.draw(name, results.replaced(history=other)).table, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_examples_than_there_are_are_stated(results, small, name):
    assert "Scored on 1" not in drawn.draw(name, small)[0].caption
    few = small.replaced(rewind=small.rewind.assign(n=100))
    # Training examples are unpermuted or permuted ones, 100 of each; figure 21 alone shows them.
    training = " and 200 of 450 training" if name == "fig21" else ""
    text = drawn.draw(name, few)[0].caption
    assert f"Scored on 100 of 450 test{training} examples, drawn once for a data seed." in text
    # Nothing is said of runs whose numbers are not known; without corruption none is permuted.
    training = " and 100 to 200 of 450 training" if name == "fig21" else ""
    part = results.history[results.history["data_seed"] > 0]
    few = results.replaced(rewind=results.rewind.assign(n=results.rewind["n"].clip(upper=100)), history=part)
    text = drawn.draw(name, few)[0].caption
    assert f"Scored on 100 of 450 test{training} examples, drawn once for a data seed." in text
    unknown = few.replaced(history=results.history.iloc[:0])
    assert "Scored on 1" not in drawn.draw(name, unknown)[0].caption


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(small, name, tmp_path):
    for folder in ("a", "b"):
        figures.save(figures.draw(name, small), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv", "md"):
        made = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert made[0] == made[1] and made[0]


# --- what the reader chooses ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_levels_leave_out_the_others(results, draw, name):
    sheet, table = drawn.draw(name, results, levels=[0.6])
    _, every = draw(name)
    pd.testing.assert_frame_equal(table, chosen(every, level=0.6).reset_index(drop=True))
    assert all(", level 0.6, " in heading for heading in drawn.blocks(sheet)) and len(drawn.blocks(sheet)) == 2
    assert "at level 0" not in sheet.caption and overlaps(sheet) == []


def test_layers_of_figure_22_leave_out_the_others(results, draw):
    sheet, table = drawn.draw("fig22", results, layers=["fc2", "layer3"])
    before, every = draw("fig22")
    kept = every["layer"].isin(["fc2", "layer3"]) | every["layer"].isna()
    pd.testing.assert_frame_equal(table, every[kept].reset_index(drop=True))
    for model, layer in (("mlp", "fc2"), ("resnet18", "layer3")):
        for title, ax in panels(sheet, 0.6, model).items():
            shown, whole = marks(ax, [layer]), marks(panels(before, 0.6, model)[title], WEIGHTS[model])
            assert set(shown) == set(whole) and len(ax.get_yticks()) == 1
            for looks, (values, layers) in shown.items():
                assert layers == [layer] and values[0] == whole[looks][0][whole[looks][1].index(layer)]
    assert overlaps(sheet) == []


@pytest.mark.parametrize("label", [*WAYS.values(), PLAIN, TRANSFER])
def test_colours_of_figure_22_change_one_line(results, draw, label):
    before, wanted = draw("fig22")
    after, table = drawn.draw("fig22", results, colours={label: "#ff0000"})
    pd.testing.assert_frame_equal(table, wanted)
    # Without batch normalisation marks look like those of re-estimated statistics.
    own = legend(before)[label if label != PLAIN else WAYS["reestimated"]].get_color()
    models = {WAYS["reestimated"]: ["resnet18"], PLAIN: ["mlp"]}.get(label, ["mlp", "resnet18"])
    changed = 0
    for level, model in product((0.0, 0.6), ("mlp", "resnet18")):
        for title, ax in panels(before, level, model).items():
            for old, new in zip(ax.lines, panels(after, level, model)[title].lines, strict=True):
                np.testing.assert_array_equal(old.get_xydata(), new.get_xydata())
                changes = model in models and old.get_color() == own
                assert new.get_color() == ("#ff0000" if changes else old.get_color())
                changed += changes
    assert changed >= 2 * 4
    # What has the colour of another is not named, until its own is another.
    colours = {name: entry.get_color() for name, entry in legend(after).items() if name in (label, *legend(before))}
    assert colours == {name: entry.get_color() for name, entry in legend(before).items()} | {label: "#ff0000"}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_there_is_refused(small, name):
    with pytest.raises(ValueError, match=r"no level 0\.3; there are 0\.6"):
        figures.draw(name, small, levels=[0.3])
    unknown = "no layer 'fc9'; there are fc1, fc2" if name == "fig22" else "no lines or panels of single layers"
    with pytest.raises(ValueError, match=unknown):
        figures.draw(name, small, layers=["fc9"])
    with pytest.raises(ValueError, match="no line 'fc1'"):
        figures.draw(name, small, colours={"fc1": "red"})


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
    sheet, table = drawn.draw(name, shown)
    point = {"model": "mlp", "level": 0.6}
    cells = chosen(table, view="test", series="suffix", weights="saved", **point)
    rows = chosen(single.rewind, view="test", kind="suffix", weights="saved", **point)
    for _, row in cells.iterrows():
        np.testing.assert_allclose(numbers(row), drawn.expected(rows, row["epoch"]))
    assert len(cells) > 3 and cells["whole"].all() and not chosen(table, model="mlp")["best"].any()
    of_point = list(panels(sheet, 0.6, "mlp").values())
    assert len(of_point) == (3 if name == "fig20" else 4)
    assert all("nothing gained" in drawn.title(ax) for ax in of_point)
    assert all(image.get_array().shape[0] == 1 for ax in of_point for image in ax.images)
    assert not any(
        line.get_color() == "white" or line.get_marker() == "o" for ax in of_point for line in drawn.lines(ax)
    )
    assert overlaps(sheet) == []


@pytest.mark.parametrize("alone", [True, False])
def test_figure_22_of_one_layer_has_lines_alone(single, alone):
    shown = single.replaced(rewind=chosen(single.rewind, model="mlp")) if alone else single
    sheet, table = drawn.draw("fig22", shown)
    rows = chosen(table, model="mlp", level=0.6)
    assert set(rows["series"]) == {"model", "transfer"} and rows["layer"].isna().all()
    for choice in ("fixed", "oracle", "validation"):
        found = networks(single, choice, "none", model="mlp", level=0.6)
        (row,) = (row for _, row in chosen(rows, series="model", choice=choice).iterrows())
        np.testing.assert_allclose(numbers(row), over_seeds(values(found)))
    of_point = panels(sheet, 0.6, "mlp")
    assert list(of_point) == list(TITLES.values()) and len(sheet.axes) == (6 if alone else 14)
    for ax in of_point.values():
        at = [line.get_xdata()[0] for line in drawn.lines(ax) if line.get_marker() == "None"]
        chance = [] if alone else [10.0]
        assert sorted(at) == pytest.approx(sorted([*(100 * rows["mean"]), *chance]))
        assert len(ax.lines) == len(at) and not ax.get_yticks().size
    for _, labels in drawn.legends(sheet):
        assert ("chance" in labels) == (not alone)
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types
    assert overlaps(sheet) == []
