"""Figures 20 to 22, and what figure 15 has of rewinding."""

from dataclasses import replace
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
from latentgen.figures import rewinds
from latentgen.figures.stopping import STOPPED

NAMES = ["fig20", "fig21", "fig22"]
VIEWS = ["test", "unpermuted", "permuted", "restored"]
RUN = ["data_seed", "model_seed"]
POINTS = [{"model": "mlp", "level": 0.6}, {"model": "resnet18", "level": 0.0}]
CELL = {"model": "resnet18", "level": 0.6}


@pytest.fixture(scope="module")
def results():
    pairs, ways = [("digits", "mlp"), ("digits", "resnet18")], ("rewound", "reestimated")
    options = {"levels": (0.0, 0.6), "data_seeds": range(3), "model_seeds": (0, 1), "schedule": (0, 1, 4, 30, 60)}
    return frames_rewinding.results(pairs, batch_norms=ways, validation=True, **options)


@pytest.fixture(scope="module")
def small():
    return frames_rewinding.results(data_seeds=(7,), schedule=(0, 1, 4), redraws=0)


def over_seeds(values):
    """(mean, low, high) of {(data seed, model seed): value}, by SciPy."""
    seeds = sorted({seed for seed, _ in values})
    means = [np.mean([value for (seed, _), value in values.items() if seed == wanted]) for wanted in seeds]
    return (np.mean(means), *stats.t.interval(0.95, len(means) - 1, np.mean(means), stats.sem(means)))


def numbers(row, prefix=("mean", "low", "high")):
    return row[list(prefix)].astype(float).to_numpy()


def own(results, pick, split="test", labels="true", **point):
    """{(data seed, model seed): (epoch, value)} of the networks, at the epoch that ``pick`` takes."""
    rows = chosen(results.history, split=split, labels=labels, mode="evaluated", **point)
    runs = {seeds: run.set_index("epoch")["value"].sort_index() for seeds, run in rows.groupby(RUN)}
    return {seeds: (pick(run), run[pick(run)]) for seeds, run in runs.items()}


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
def test_cells_are_means_over_seeds_on_common_epochs(results, name, point):
    _, table = figures.draw(name, results)
    layers, way = WEIGHTS[point["model"]], "none" if point["model"] == "mlp" else "rewound"
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
def test_maps_show_the_table_with_the_input_side_on_top(results, name):
    fig, table = figures.draw(name, results)
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


def test_the_ring_is_at_the_best_proper_set_in_every_view(results):
    fig, table = figures.draw("fig20", results)
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
        at = {tuple(line.get_xydata()[0]) for line in ax.lines if line.get_marker() == "o"}
        assert at == {(epochs.index(epoch), place)}
        assert f"ring {100 * ring.mean:.1f}" in ax.get_title()
        whole = {row.layer for row in cells.itertuples() if row.whole}
        assert whole == set(layers) - set(proper(kind, layers))
    _, views = figures.draw("fig21", results)
    for view in VIEWS:
        (ring,) = (row for row in chosen(views, view=view, weights="saved", **CELL).itertuples() if row.best)
        assert (ring.epoch, ring.layer) == rings["suffix"]
    # The oracle is one of saved epochs: redrawn weights cannot win.
    better = results.rewind["value"].where(results.rewind["weights"] == "saved", 1.0)
    _, table = figures.draw("fig20", replace(results, rewind=results.rewind.assign(value=better)))
    assert set(table.loc[table["best"].eq(True), "weights"]) == {"saved"}


def test_of_equal_cells_the_earliest_epoch_and_the_shallowest_layer_has_the_ring(small):
    flat = replace(small, rewind=small.rewind.assign(value=0.5))
    fig, table = figures.draw("fig20", flat)
    rings = table[table["best"].eq(True)].set_index("series")
    assert list(rings.loc[list(KINDS), "layer"]) == ["fc1", "fc1", "fc2"] and set(rings["epoch"]) == {0}
    assert drawn.overlaps(fig) == []


@pytest.mark.parametrize("name", ["fig20", "fig21"])
def test_networks_at_their_end_and_best_are_marked(results, name):
    fig, table = figures.draw(name, results)
    model = chosen(table, series="model", **CELL).set_index("choice")
    for choice, pick in (("fixed", lambda run: run.index.max()), ("oracle", lambda run: run.idxmax())):
        runs = own(results, pick, **CELL)
        wanted = over_seeds({seeds: value for seeds, (_, value) in runs.items()})
        np.testing.assert_allclose(numbers(model.loc[choice]), wanted)
        epochs = [epoch for epoch, _ in runs.values()]
        assert model.loc[choice, "epoch"] == pytest.approx(np.mean(epochs))
    stated = model.loc["oracle", ["first_best_epoch", "last_best_epoch"]]
    assert list(stated) == [min(epochs), max(epochs)]
    # Triangles on the last colour bar, bars over its maps.
    bar = [ax for ax in fig.axes if not ax.get_title()][-1]
    at = {line.get_markersize(): line.get_xdata()[0] for line in bar.lines if line.get_marker() == "v"}
    assert at[max(at)] == pytest.approx(100 * model.loc["oracle", "mean"])
    assert at[min(at)] == pytest.approx(100 * model.loc["fixed", "mean"])
    (ax,) = maps(fig, 0.6, ["one layer" if name == "fig20" else "restored"])
    (line,) = [line for line in ax.lines if line.get_marker() == "|"]
    saved = sorted(set(chosen(table, weights="saved", **CELL)["epoch"]))
    np.testing.assert_allclose(line.get_xdata(), np.interp([min(epochs), max(epochs)], saved, range(len(saved))))


def test_maps_take_rewound_statistics_where_there_are_and_others_where_not(results):
    text = drawn.footer(figures.draw("fig20", results)[0])
    assert "Running statistics of batch normalisation are put back" in text.replace("running", "Running")
    assert "Statistics estimated anew are left to Figure 22." in text
    anew = results.rewind[results.rewind["batch_norm"] != "rewound"]
    fig, table = figures.draw("fig20", replace(results, rewind=anew))
    assert set(table["batch_norm"].dropna()) == {"none", "reestimated"}
    assert "computed anew" in drawn.footer(fig) and "left to" not in drawn.footer(fig)
    plain = figures.draw("fig20", replace(results, rewind=chosen(results.rewind, model="mlp")))[0]
    assert "normalisation" not in drawn.footer(plain)


def test_views_without_examples_are_left_out(results):
    fig, table = figures.draw("fig21", results)
    assert set(table.loc[table["level"] == 0, "view"]) == {"test", "unpermuted"}
    assert "Runs without mislabelled examples, at corruption 0, are left out" in drawn.footer(fig)
    assert sum(ax.get_title().startswith("corruption 0,") for ax in fig.axes) == 4
    assert "mislabelled" not in drawn.footer(figures.draw("fig20", results)[0])


# --- figure 22 ------------------------------------------------------------------------------------


def best_over_epochs(results, choice, kind, layer, way, **point):
    """{(data seed, model seed): (epoch, test accuracy)} by loops over runs."""
    rows = chosen(results.rewind, kind=kind, layer=layer, batch_norm=way, weights="saved", **point)
    found = {}
    for seeds, run in rows.groupby(RUN):
        test = chosen(run, view="test").set_index("epoch")["value"].sort_index()
        seen = test if choice == "oracle" else chosen(run, view="validation").set_index("epoch")["value"].sort_index()
        epoch = max(seen.index, key=lambda epoch: seen[epoch])
        found[seeds] = epoch, test[epoch]
    return found


@pytest.mark.parametrize("point", [{"model": "mlp", "level": 0.6}, CELL])
def test_marks_are_the_best_epochs_of_each_layer(results, point):
    _, table = figures.draw("fig22", results)
    layers = WEIGHTS[point["model"]]
    ways = ["none"] if point["model"] == "mlp" else ["rewound", "reestimated"]
    stopped = {
        "oracle": own(results, lambda run: run.idxmax(), **point),
        "validation": own(results, lambda run: run.idxmax(), "validation", "given", **point),
    }
    test = chosen(results.history, split="test", mode="evaluated", **point).set_index([*RUN, "epoch"])["value"]
    for choice, kind, way in product(stopped, KINDS, ways):
        rows = chosen(table, series=kind, choice=choice, at="best epoch", batch_norm=way, **point)
        assert list(rows["layer"]) == proper(kind, layers)
        for _, row in rows.iterrows():
            found = best_over_epochs(results, choice, kind, row["layer"], way, **point)
            np.testing.assert_allclose(numbers(row), over_seeds({seeds: v for seeds, (_, v) in found.items()}))
            assert row["epoch"] == pytest.approx(np.mean([epoch for epoch, _ in found.values()]))
            gaps = {s: value - test[(*s, stopped[choice][s][0])] for s, (_, value) in found.items()}
            np.testing.assert_allclose(numbers(row, ("diff", "diff_low", "diff_high")), over_seeds(gaps), atol=1e-12)


def test_initial_and_redrawn_layers_and_what_stands_beside(results):
    fig, table = figures.draw("fig22", results)
    for at, weights in (("initialisation", "saved"), ("redrawn", "redrawn")):
        rows = chosen(table, at=at, batch_norm="rewound", **CELL)
        assert list(rows["layer"]) == WEIGHTS["resnet18"] and set(rows["series"]) == {"alone"}
        assert set(rows["epoch"]) == {0} and set(rows["choice"]) == {"fixed"}
        for _, row in rows.iterrows():
            columns = {"kind": "alone", "layer": row["layer"], "epoch": 0, "weights": weights, "view": "test"}
            of_layer = chosen(results.rewind, batch_norm="rewound", **columns, **CELL)
            np.testing.assert_allclose(numbers(row), over_seeds(of_layer.groupby(RUN)["value"].mean().to_dict()))
    readout = {"head": "replaced", "rows": "axis", "norm": "unit", "mix": 1.0, "bias": "zero", "split": "test"}
    rows = chosen(results.transfer, **readout, **CELL).sort_values("epoch")
    (transfer,) = (row for _, row in chosen(table, series="transfer", **CELL).iterrows())
    np.testing.assert_allclose(numbers(transfer), over_seeds(rows.groupby(RUN)["value"].last().to_dict()))
    ends = {s: value for s, (_, value) in own(results, lambda run: run.index.max(), **CELL).items()}
    (end,) = (row for _, row in chosen(table, series="model", at="end", **CELL).iterrows())
    np.testing.assert_allclose(numbers(end), over_seeds(ends))
    # Vertical lines: end, early stopping twice, transfer and chance, in every panel.
    lines = table[(table["level"] == 0.6) & (table["model"] == "resnet18") & table["layer"].isna()]
    for ax in maps(fig, 0.6, [*rewinds.KINDS.values(), "one layer, initial weights"]):
        at = sorted(line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1])
        assert [x for x in at if x > 10] == pytest.approx(sorted(100 * lines["mean"]))
        assert 10.0 in at
    assert ax.get_xlim()[0] < 10


def test_oracles_are_hollow_and_colours_tell_ways_with_batch_norm(results):
    fig, table = figures.draw("fig22", results)
    layers = WEIGHTS["resnet18"]
    for kind, ax in zip(KINDS, maps(fig, 0.6, rewinds.KINDS.values()), strict=True):
        for choice, way in product(("oracle", "validation"), ("rewound", "reestimated")):
            colour = rewinds.LOOKS[way]
            face = "white" if choice == "oracle" else colour
            (line,) = [
                line
                for line in ax.lines
                if (line.get_color(), line.get_markerfacecolor(), line.get_linestyle()) == (colour, face, "None")
            ]
            rows = chosen(table, series=kind, choice=choice, batch_norm=way, at="best epoch", **CELL)
            np.testing.assert_allclose(line.get_xdata(), 100 * rows["mean"])
            assert [layers[round(-y)] for y in line.get_ydata()] == list(rows["layer"])
    assert rewinds.LOOKS["rewound"] != rewinds.LOOKS["reestimated"]
    ((_, labels),) = drawn.legends(fig)
    assert {"at the best saved epoch (oracle)", "statistics rewound", "statistics re-estimated", "chance"} < set(labels)


def test_figure_22_without_transfer_held_out_labels_initial_weights_and_chance(small):
    few = small.rewind[(small.rewind["epoch"] > 0)]
    plain = replace(small, rewind=few, transfer=small.transfer.iloc[:0], chance={})
    fig, table = figures.draw("fig22", plain)
    assert set(table["series"]) == {*KINDS, "model"} and set(table["choice"]) == {"fixed", "oracle"}
    assert set(table["at"]) == {"end", "best epoch"} and len(fig.axes) == 3
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types
    ((_, labels),) = drawn.legends(fig)
    assert labels == ["at the best saved epoch (oracle)", "network at its end", "early stopping (oracle)"]
    text = drawn.footer(fig)
    assert not any(word in text for word in ("held-out", "Redrawn", "On the right", "normalisation"))
    assert drawn.overlaps(fig) == []


def test_held_out_rows_without_a_held_out_history_are_not_compared(results):
    history = results.history[results.history["split"] != "validation"]
    _, table = figures.draw("fig22", replace(results, history=history))
    rows = chosen(table, choice="validation")
    assert len(rows) and rows["diff"].isna().all() and set(rows["series"]) == set(KINDS)


# --- figure 15 ------------------------------------------------------------------------------------


def test_figure_15_has_a_line_for_each_kind_and_way(results):
    fig, table = figures.draw("fig15", results)
    names = ("probes", "history", "transfer", "edit", "relabel", "rewind")
    headline = summary.headline(**{name: getattr(results, name) for name in names})
    rows = table[table["quantity"].str.startswith("rewind")]
    assert len(rows) == 2 * 2 * 3 * (1 + 2)
    for _, row in rows.iterrows():
        names = ["model", "level", "batch_norm", "quantity", "choice"]
        (wanted,) = (r for _, r in chosen(headline, **{name: row[name] for name in names}).iterrows())
        np.testing.assert_array_equal(numbers(row), numbers(wanted))
        column = "diff" if row["choice"] == "oracle" else "honest_diff"
        names = {name: row[name] for name in names} | {"quantity": f"{row['quantity']}_minus_model_best_epoch"}
        (gap,) = (r for _, r in chosen(headline, **names).iterrows())
        np.testing.assert_array_equal(numbers(row, (column, f"{column}_low", f"{column}_high")), numbers(gap))
    (first, *_) = [ax for ax in fig.axes if ax.get_title() == "corruption 0"]
    labels = [label.get_text() for label in first.get_yticklabels()][-3:]
    assert labels == ["rewound: one layer", "rewound: first layers", "rewound: last layers"]
    text = drawn.footer(fig)
    assert "never all of them" in text and "Re-estimated" in text and drawn.overlaps(fig) == []


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_states_what_it_shows(results, name):
    fig, table = figures.draw(name, results)
    text = drawn.footer(fig)
    for phrase in ["n = 3 data seeds", "95 % Student t interval", "true label", "oracle", "early stopping", "(top)"]:
        assert phrase in text
    assert "Model seeds of a data seed are averaged first." in text and "mean over 2 draws" in text
    assert fig.get_size_inches()[0] <= 7.0 + 1e-9
    assert min(text.get_fontsize() for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    assert pa.null() not in arrow.schema.types
    assert list(dict.fromkeys(table["model"])) == ["mlp", "resnet18"]


@pytest.mark.parametrize("name", NAMES)
def test_only_accuracies_count_in_any_order(results, name):
    others = results.rewind.assign(metric="loss", value=1.0)
    mixed = pd.concat([others, results.rewind]).sample(frac=1, random_state=0).sort_values("model", kind="stable")
    wanted = figures.draw(name, results)[1]
    pd.testing.assert_frame_equal(figures.draw(name, replace(results, rewind=mixed))[1], wanted)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval(small, name):
    fig, table = figures.draw(name, small)
    assert "One data seed (n = 1): no interval." in drawn.footer(fig)
    assert table["low"].isna().all() and table["mean"].notna().all() and "redrawn" not in set(table.get("at", ()))
    assert drawn.overlaps(fig) == []


@pytest.mark.parametrize("name", NAMES)
def test_deep_networks_and_many_epochs_fit(name):
    options = {"noises": ("published",), "levels": (0.0, 0.5), "data_seeds": range(2), "schedule": range(31)}
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
            figures.draw(name, replace(results, rewind=rows))
    history = results.history[results.history["data_seed"] > 0]
    with pytest.raises(ValueError, match="no test accuracy of 8 of the rewound runs"):
        figures.draw(name, replace(results, history=history))


@pytest.mark.parametrize("name", NAMES)
def test_fewer_examples_than_the_networks_were_scored_on_are_stated(small, name):
    assert "are scored on" not in drawn.footer(figures.draw(name, small)[0])
    few = replace(small, rewind=small.rewind.assign(n=100))
    text = drawn.footer(figures.draw(name, few)[0])
    assert "Rewound networks are scored on 100 test examples, drawn once for a data seed, the networks " in text
    assert "themselves on 450." in text


@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(small, name, tmp_path):
    for folder in ("a", "b"):
        figures.save(*figures.draw(name, small), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv"):
        made = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert made[0] == made[1] and made[0]


def test_early_stopping_looks_as_in_figure_15(results):
    fig, _ = figures.draw("fig22", results)
    look = STOPPED["oracle"]
    lines = [line for ax in fig.axes for line in ax.lines if line.get_color() == look["color"] and line.is_dashed()]
    assert len(lines) == len([ax for ax in fig.axes if ax.get_title()])
