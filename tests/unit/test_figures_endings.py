"""Figures 10, 11 and 15: probes at the end of training, the axes MASC keeps, and all compared with early stopping."""

from collections import Counter

import drawn
import frames
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from latentgen import figures, summary
from latentgen.figures.page import style
from latentgen.numbers.results import Results
from latentgen.probes import compared

pytestmark = pytest.mark.slow

NAMES = ["fig10", "fig11", "fig15"]
RUN = ["data_seed", "model_seed"]
ABLATED = ["masc-one", "masc-0.25", "masc-0.5", "masc-0.75"]


@pytest.fixture(scope="module")
def results():
    pairs = [("digits", "mlp"), ("digits", "cnn")]
    options = {"levels": (0.0, 0.6), "data_seeds": range(3), "model_seeds": (0, 1), "edit_epochs": (1, 4)}
    return frames.results(pairs, **options, schedule=(0, 1, 4, 30, 60))


@pytest.fixture(scope="module")
def held_out():
    options = {"levels": (0.2, 0.6), "data_seeds": range(3), "schedule": (0, 1, 4, 30, 60), "validation": True}
    return frames.results([("digits", "mlp")], probes=("masc", "velpic", "masc-true"), edit_epochs=(1,), **options)


@pytest.fixture(scope="module")
def drawings(results):
    """(sheet, table) of each figure of the results."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = drawn.draw(name, results)
        return made[name]

    return of


@pytest.fixture(scope="module")
def stopping(held_out):
    return drawn.draw("fig15", held_out)


def over_seeds(values):
    """(mean, low, high) of {(data seed, model seed): value}, by SciPy."""
    seeds = sorted({seed for seed, _ in values})
    means = [np.mean([value for (seed, _), value in values.items() if seed == wanted]) for wanted in seeds]
    return (np.mean(means), *stats.t.interval(0.95, len(means) - 1, np.mean(means), stats.sem(means)))


def per_run(rows, pick):
    """{(data seed, model seed): value} of the row that ``pick`` chooses of each run's rows, in order of epochs."""
    return {seeds: pick(run.sort_values("epoch"))["value"] for seeds, run in rows.groupby(RUN)}


def last(run):
    return run.iloc[-1]


def highest(run):
    return run.iloc[int(np.argmax(run["value"]))]


def own(results, **point):
    rows = results.history
    return drawn.chosen(rows, split="test", labels="true", mode="evaluated", metric="accuracy", **point)


def marks(ax, **properties):
    """Points of the lines of a panel that have markers and these properties, as [(x, y)]."""
    lines = [line for line in drawn.lines(ax) if line.get_marker() not in ("None", "")]
    lines = [line for line in lines if all(getattr(line, f"get_{k}")() == v for k, v in properties.items())]
    return [(x, y) for line in lines for x, y in line.get_xydata() if np.isfinite(y)]


def titled(sheet, level):
    return [ax for ax in sheet.axes if drawn.title(ax).split(",")[0].splitlines()[:1] == [f"level {level:g}"]]


def along(ax):
    """Names at the x axis, from the left."""
    ticks = zip(ax.get_xticks(), (label.get_text() for label in ax.get_xticklabels()), strict=True)
    return [name for _, name in sorted(ticks)]


def with_names(ax, first):
    """[(name of the row, name of the column or None, text)] of the numbers in a heat map; ``first`` of its row."""
    assert list(ax.get_yticks()) == list(first.get_yticks())
    rows = dict(zip(ax.get_yticks(), (label.get_text() for label in first.get_yticklabels()), strict=True))
    columns = dict(zip(ax.get_xticks(), (label.get_text() for label in ax.get_xticklabels()), strict=True))
    texts = [text for text in ax.texts if text.get_text() != drawn.heading(ax)]
    network = {"network, end", "best epoch (oracle)"}
    return [
        (rows[y], None if rows[y] in network else columns[x], text.get_text())
        for text in texts
        for x, y in [text.get_position()]
    ]


def collisions(labels):
    """Pairs of texts that overlap."""
    boxes = [(label.get_text(), label.get_window_extent()) for label in labels if label.get_text()]
    return [
        (one, other)
        for i, (one, a) in enumerate(boxes)
        for other, b in boxes[i + 1 :]
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]


# --- figures 10 and 11: the numbers ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "probe"), [("fig10", "velpic"), ("fig10", "masc-true"), ("fig11", "masc-0.5")])
def test_tables_hold_ends_and_beginnings(results, drawings, name, probe):
    _, table = drawings(name)
    for point in ({"model": "mlp", "level": 0.6}, {"model": "cnn", "level": 0.0}):
        for layer in ("input", "fc2"):
            rows = drawn.chosen(results.probes, probe=probe, layer=layer, split="test", **point)
            of_probe = drawn.chosen(table, series=probe, layer=layer, **point).set_index("at")
            epochs = rows.groupby(RUN)["epoch"].max()
            wanted = {"end": (per_run(rows, last), epochs.mean())}
            if name == "fig10":
                wanted["initialisation"] = per_run(rows, lambda run: run.iloc[0]), 0
            assert set(of_probe.index) == set(wanted)
            for at, (values, epoch) in wanted.items():
                row = of_probe.loc[at]
                np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), over_seeds(values))
                assert (row["epoch"], row["n"], row["n_runs"], row["choice"]) == (epoch, 3, 6, "fixed")
                assert row["fit_labels"] == ("true" if probe == "masc-true" else "given")
                assert row["rank"] == pytest.approx(rows["rank"].mean(), nan_ok=True)
        network = drawn.chosen(table, series="model", **point).set_index("at")
        for at, choice, pick in (("end", "fixed", last), ("best epoch", "oracle", highest)):
            row = network.loc[at]
            wanted = over_seeds(per_run(own(results, **point), pick))
            np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), wanted)
            assert row["choice"] == choice and pd.isna(row["layer"])


def test_figure_10_leaves_fewer_axes_and_other_modes_to_other_figures(drawings):
    sheet, table = drawings("fig10")
    probes = ["masc", "velpic", "logistic", "masc-true", "nearest-mean", "knn"]
    assert list(dict.fromkeys(table["series"])) == [*probes, "model"]
    for first, *others in drawn.rows(sheet):
        assert [label.get_text() for label in first.get_yticklabels()] == [
            *["MASC", "VeLPIC", "logistic regression", "masc-true [true]", "nearest-mean", "nearest neighbours"],
            *["network, end", "best epoch (oracle)"],
        ]
        assert first.yaxis.get_tick_params()["labelleft"]
        assert not any(ax.yaxis.get_tick_params()["labelleft"] for ax in others)
    for phrase in ("MASC with fewer axes is left to Figure 11.", "In brackets", "probes of the untrained network"):
        assert phrase in sheet.caption


def test_figure_10_without_such_probes_does_not_speak_of_them():
    plain = frames.results(
        [("digits", "mlp")], levels=(0.6,), schedule=(0, 1, 2), edit_epochs=(0,), probes=("masc", "velpic")
    )
    text = drawn.draw("fig10", plain)[0].caption
    assert "brackets" not in text and "Figure 11" not in text
    late = plain.replaced(probes=plain.probes[plain.probes["epoch"] > 0])
    assert "untrained" in text and "untrained" not in drawn.draw("fig10", late)[0].caption


def test_figure_11_has_thresholds_in_order_with_the_axes_kept(drawings):
    sheet, table = drawings("fig11")
    shown = [*ABLATED, "masc"]
    assert list(dict.fromkeys(table["series"])) == [*shown, "model"]
    ((_, labels),) = drawn.legends(sheet)
    kept = ["one axis", *(f"{part} % of variance" for part in (25, 50, 75, 99))]
    assert labels == [*kept, "network, end", "network, best epoch (oracle)"]
    ranks = [row for row in drawn.rows(sheet) if "axes kept" in row[0].get_ylabel()]
    assert len(ranks) == 2
    for model, row in zip(("mlp", "cnn"), ranks, strict=True):
        for level, ax in zip((0.0, 0.6), row, strict=True):
            for name, colour in zip(shown, style.layer_styles(shown).values(), strict=True):
                rank = drawn.chosen(table, series=name, model=model, level=level)["rank"]
                found = marks(ax, color=colour["color"], marker=colour["marker"])
                np.testing.assert_allclose([y for _, y in found], rank)
                assert (ax.get_ylim()[0] < rank.min()) and (rank.max() < ax.get_ylim()[1])
    assert "an axis of its own" in sheet.caption


def test_figure_11_needs_two_thresholds(results):
    one = results.replaced(settings={name: results.settings[name] for name in ("masc", "velpic")})
    with pytest.raises(ValueError, match="fewer than two probes of kind masc .* key 'probes'"):
        figures.draw("fig11", one)
    with pytest.raises(ValueError, match="no test accuracies .* key 'probes'"):
        figures.draw("fig10", results.replaced(probes=results.probes.iloc[:0]))


# --- figures 10 and 11: what is drawn -------------------------------------------------------------


def test_cells_of_figure_10_are_the_table(drawings):
    """Numbers and colours, of probes by layers and of the network below them."""
    sheet, table = drawings("fig10")
    shown = 100 * table[table["at"] != "initialisation"]["mean"]
    names = {"masc": "MASC", "velpic": "VeLPIC", "logistic": "logistic regression", "masc-true": "masc-true [true]"}
    names |= {"nearest-mean": "nearest-mean", "knn": "nearest neighbours"}
    for model, row in zip(("mlp", "cnn"), drawn.rows(sheet), strict=True):
        assert drawn.heading(row[0]) == f"digits, {model}, uniform noise"
        layers = frames.LAYERS[model]
        for level, ax in zip((0.0, 0.6), row, strict=True):
            assert drawn.title(ax) == f"level {level:g}"
            points = drawn.chosen(table, model=model, level=level)
            ends = drawn.chosen(points, at="end")
            expected = [
                (names[row.series], row.layer, f"{100 * row.mean:.0f}")
                for row in ends[ends["series"] != "model"].itertuples()
            ]
            network = drawn.chosen(points, series="model").set_index("at")["mean"]
            expected.append(("network, end", None, f"{100 * network['end']:.0f}"))
            expected.append(("best epoch (oracle)", None, f"{100 * network['best epoch']:.0f}"))
            assert Counter(with_names(ax, row[0])) == Counter(expected)
            assert along(ax) == layers
            heat, *of_network = ax.images
            wanted = ends.pivot(index="series", columns="layer", values="mean").loc[list(names), layers]
            np.testing.assert_allclose(heat.get_array(), 100 * wanted)
            np.testing.assert_allclose(
                [image.get_array().item() for image in of_network], 100 * network[["end", "best epoch"]]
            )
            for image in ax.images:
                assert image.get_clim() == pytest.approx((shown.min(), shown.max()))
            # Images lie where their names and numbers are.
            assert heat.get_extent() == [-0.5, len(layers) - 0.5, len(names) - 0.5, -0.5]
            for image, y in zip(of_network, ax.get_yticks()[-2:], strict=True):
                assert image.get_extent() == pytest.approx([-0.5, len(layers) - 0.5, y + 0.5, y - 0.5])
    assert "share one colour scale" in sheet.caption and "two lowest rows are the network" in sheet.caption


def test_the_best_cell_of_a_panel_is_framed_and_called_an_oracle(drawings):
    sheet, table = drawings("fig10")
    probes = [name for name in dict.fromkeys(table["series"]) if name != "model"]
    for model, row in zip(("mlp", "cnn"), drawn.rows(sheet), strict=True):
        for level, ax in zip((0.0, 0.6), row, strict=True):
            ends = drawn.chosen(table, model=model, level=level, at="end")
            best = ends[(ends["series"] != "model") & (ends["fit_labels"] == "given")].sort_values("mean").iloc[-1]
            place = frames.LAYERS[model].index(best["layer"]) - 0.5, probes.index(best["series"]) - 0.5
            assert {patch.get_xy() for patch in ax.patches} == {place}
            assert all((patch.get_width(), patch.get_height()) == (1, 1) for patch in ax.patches)
    assert "The best probe and layer of a panel, of those fitted on given labels, is framed." in sheet.caption
    assert "found on test data in each run: an oracle. So is the framed cell" in sheet.caption


def test_numbers_in_cells_can_be_read(drawings):
    """Black and white letters stand out from their cell by at least the contrast that is asked for large text."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    sheet, _ = drawings("fig10")
    seen = set()
    for ax in sheet.axes:
        image = ax.images[0]
        for text in ax.texts:
            if text.get_text() == drawn.heading(ax):
                continue
            value = float(text.get_text())
            light, dark = sorted(map(luminance, (text.get_color(), image.to_rgba(value)[:3])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3
            seen.add(text.get_color())
    assert seen == {"black", "white"}


def test_a_probe_that_skips_a_layer_has_an_empty_cell(results):
    skipping = (results.probes["probe"] == "velpic") & (results.probes["layer"] == "fc2")
    sheet, table = drawn.draw("fig10", results.replaced(probes=results.probes[~skipping]))
    assert len(drawn.chosen(table, series="velpic", model="mlp", level=0.6, at="end")) == 4
    ax = titled(sheet, 0.6)[0]
    there = [column for name, column, _ in with_names(ax, titled(sheet, 0.0)[0]) if name == "VeLPIC"]
    assert there == ["input", "fc1", "fc3", "fc4"]
    assert np.isnan(np.ma.filled(ax.images[0].get_array(), np.nan)[1]).tolist() == [False, False, True, False, False]


def test_marks_of_figure_11_are_the_table(drawings):
    sheet, table = drawings("fig11")
    looks = style.layer_styles([*ABLATED, "masc"])
    ax, below = drawn.panel(sheet, 0.6), drawn.panel(sheet, 0.6, row=1)
    points = drawn.chosen(table, model="mlp", level=0.6)
    assert along(below) == frames.LAYERS["mlp"]
    assert not ax.xaxis.get_tick_params()["labelbottom"] and below.xaxis.get_tick_params()["labelbottom"]
    for probe, look in looks.items():
        rows = drawn.chosen(points, series=probe, at="end")
        found = marks(ax, color=look["color"], marker=look["marker"], markerfacecolor=look["color"])
        # A mark for each layer, in order of depth.
        assert [x for x, _ in found] == list(rows["depth"]) == list(range(5))
        np.testing.assert_allclose([y for _, y in found], 100 * rows["mean"])
    level = [line for line in drawn.lines(ax) if list(line.get_xdata()) == [0, 1]]
    for at, dashes in (("end", (1, 1.2)), ("best epoch", (5, 1.5))):
        (line,) = [line for line in level if line._unscaled_dash_pattern[1] == dashes]
        assert line.get_color() == "black"
        row = drawn.chosen(points, series="model", at=at)
        assert line.get_ydata()[0] == pytest.approx(100 * row["mean"].item())


def test_a_line_is_not_joined_across_a_layer_that_its_probe_skips(results):
    skipping = (results.probes["probe"] == "masc-0.25") & (results.probes["layer"] == "fc2")
    sheet, _ = drawn.draw("fig11", results.replaced(probes=results.probes[~skipping]))
    look = style.layer_styles([*ABLATED, "masc"])["masc-0.25"]
    for row in (0, 1):
        (line,) = [line for line in drawn.lines(drawn.panel(sheet, 0.6, row)) if line.get_color() == look["color"]]
        assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False]


def test_chance_is_drawn_where_a_panel_reaches_it(results):
    """Elsewhere it would flatten the lines, which differ by little."""
    sheet, _ = drawn.draw("fig11", results.replaced(chance={"digits": 0.1}))
    assert not any("chance" in labels for _, labels in drawn.legends(sheet))
    assert not any(line.get_color() == "0.6" for ax in sheet.axes for line in ax.lines)
    sheet, _ = drawn.draw("fig11", results.replaced(chance={"digits": 0.6}))
    assert any("chance" in labels for _, labels in drawn.legends(sheet))
    for level, heights in ((0.6, [60]), (0.0, [])):
        lines = [line for line in drawn.panel(sheet, level).lines if line.get_color() == "0.6"]
        assert [line.get_ydata()[0] for line in lines] == heights


# --- figure 15 ------------------------------------------------------------------------------------


def test_figure_15_agrees_with_the_headline(held_out, stopping):
    _, table = stopping
    tables = [held_out.probes, held_out.history, held_out.transfer, held_out.edit, held_out.relabel]
    headline = summary.headline(*tables)
    names = ["level", "probe", "bias", "edit_epoch", "layer", "quantity", "choice"]
    headline, table = (frame.astype(object).fillna(-1) for frame in (headline, table))
    rows = {tuple(row[:7]): row[7:] for row in headline[[*names, "mean", "low", "high"]].to_numpy()}
    assert len(table) == 2 * (3 + 3 * 4 + 2 * 2 + 3 + 1)
    for row in table.to_dict("records"):
        key = [row[name] for name in names]
        np.testing.assert_array_equal(rows[tuple(key)], [row["mean"], row["low"], row["high"]])
        for choice, column in (("oracle", "diff"), ("validation", "validation_diff")):
            compared = [*key[:5], f"{row['quantity']}_minus_model_best_epoch", choice]
            fitting = row["choice"] in ("fixed", choice) and row["quantity"] != "model_best_epoch"
            wanted = rows[tuple(compared)] if fitting else [-1, -1, -1]
            np.testing.assert_array_equal([row[column + end] for end in ("", "_low", "_high")], wanted)
    assert set(table.loc[table["choice"] == "oracle", "validation_diff"]) == {-1}


def test_figure_15_compares_within_runs(held_out, stopping):
    _, table = stopping
    point = {"model": "mlp", "level": 0.6}
    stopped = per_run(own(held_out, **point), highest)
    final = drawn.chosen(held_out.probes, probe="velpic", layer="fc4", split="test", **point)
    gaps = {seeds: value - stopped[seeds] for seeds, value in per_run(final, last).items()}
    row = drawn.chosen(table, quantity="probe_final_last_layer", probe="velpic", **point).iloc[0]
    np.testing.assert_allclose(row[["diff", "diff_low", "diff_high"]].astype(float), over_seeds(gaps))
    rows = drawn.chosen(held_out.edit, rows="axis", bias="zero", split="test", **point)
    gaps = {seeds: value - stopped[seeds] for seeds, value in per_run(rows, last).items()}
    row = drawn.chosen(table, quantity="edit_final", bias="zero", **point).iloc[0]
    np.testing.assert_allclose(row[["diff", "diff_low", "diff_high"]].astype(float), over_seeds(gaps))


def differences(points):
    """Rows with the difference, in points, to early stopping by the same choice; what is fixed to the oracle."""
    gap = points["diff"].mask(points["choice"] == "validation", points["validation_diff"])
    return points.assign(gap=100 * gap.astype(float)).dropna(subset="gap")


def test_figure_15_draws_oracles_hollow_and_lines_at_early_stopping(stopping):
    sheet, table = stopping
    series = [label.get_text() for label in titled(sheet, 0.2)[0].get_yticklabels()]
    assert series == [
        *["network", "MASC", "VeLPIC", "masc-true [true]", "transfer, zero bias", "transfer, kept bias"],
        *["edited at 1, fc4, kept bias", "edited at 1, fc4, zero bias", "continued from 1", "relabelled by MASC, fc4"],
    ]
    for level in (0.2, 0.6):
        ax = titled(sheet, level)[0]
        points = differences(drawn.chosen(table, level=level))
        # All but early stopping itself, which is the line at zero.
        assert len(points) == len(drawn.chosen(table, level=level)) - 2
        colours = {"model": "black", "probe": style.series_style(0)["color"], "edit": style.series_style(2)["color"]}
        colours |= {"transfer": style.series_style(3)["color"], "relabel": style.series_style(4)["color"]}
        wanted = Counter()
        for row in points.itertuples():
            colour = colours[row.quantity.split("_")[0]]
            hollow, held_out = row.choice == "oracle", row.choice == "validation"
            final = row.quantity.endswith("final_best_layer") or row.choice == "fixed"
            shape = "^" if held_out else "o" if final else "D"
            wanted[round(row.gap, 9), series.index(row.series), colour, "white" if hollow else colour, shape] += 1
        found = Counter(
            (round(x, 9), round(-y), line.get_color(), line.get_markerfacecolor(), line.get_marker())
            for line in drawn.lines(ax)
            if line.get_marker() != "None"
            for x, y in line.get_xydata()
        )
        assert found == wanted
        lines = [line for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1]]
        assert [list(line.get_xdata()) for line in lines] == [[0, 0]]
        low, high = ax.get_xlim()
        assert low < points["gap"].min() and points["gap"].max() < high


def test_figure_15_writes_what_all_is_compared_with_and_the_highest_marks(stopping):
    sheet, table = stopping
    for level in (0.2, 0.6):
        ax = titled(sheet, level)[0]
        points = drawn.chosen(table, level=level)
        stopped = drawn.chosen(points, quantity="model_best_epoch", choice="oracle")["mean"].item()
        end = drawn.chosen(points, quantity="model_final")["mean"].item()
        title = drawn.title(ax).replace("\xa0", " ").splitlines()
        assert title == [f"level {level:g}", f"stopped: {100 * stopped:.0f} %", f"end: {100 * end:.0f} %"]
        series = [label.get_text() for label in titled(sheet, 0.2)[0].get_yticklabels()]
        gaps = differences(points)
        wanted = []
        # The values of probes that know the true labels stand in no competition.
        rivals = gaps[gaps["fit_labels"].fillna("given") == "given"]
        for group in (rivals[rivals["choice"] == "oracle"], rivals[rivals["choice"] != "oracle"]):
            best = group.sort_values("gap").iloc[-1]
            wanted.append((series.index(best["series"]), round(best["gap"])))
        texts = [text for text in ax.texts if text.get_text() != drawn.heading(ax)]
        numbers = [int(text.get_text().replace("\N{MINUS SIGN}", "-")) for text in texts]
        found = [(round(-text.get_position()[1]), number) for text, number in zip(texts, numbers, strict=True)]
        assert sorted(found) == sorted(wanted)
        assert all(text.get_position()[0] == ax.get_xlim()[1] and text.get_ha() == "right" for text in texts)
    assert "The highest filled and the highest hollow mark of a panel have their values" in sheet.caption


def test_figure_15_marks_what_was_not_run_with_a_dash(held_out):
    some = held_out.edit[held_out.edit["level"] == 0.2]
    sheet, _ = drawn.draw("fig15", held_out.replaced(edit=some))
    series = [label.get_text() for label in titled(sheet, 0.2)[0].get_yticklabels()]
    for level, missing in ((0.2, set()), (0.6, {name for name in series if name.startswith(("edited", "continued"))})):
        texts = [text for text in titled(sheet, level)[0].texts if text.get_text() == "\N{EN DASH} "]
        assert {series[round(-text.get_position()[1])] for text in texts} == missing
    assert "Dash: not run at that level." in sheet.caption


def test_figure_15_is_drawn_of_a_grid_without_interventions_and_held_out_labels(results):
    plain = Results.of({"probes": results.probes, "history": results.history}, settings=results.settings)
    sheet, table = drawn.draw("fig15", plain)
    assert {quantity.split("_")[0] for quantity in table["quantity"]} == {"model", "probe"}
    # Seven probes: the four with fewer axes are left to figure 11.
    assert table["validation_diff"].isna().all() and table["diff"].notna().sum() == 4 + 4 * 3 * 7
    assert not set(table["series"]) & set(compared.thresholds(results.settings)[:-1])
    assert not any(word in sheet.caption for word in ("Transfer:", "Edited", "Relabelled", "Rewound"))
    assert "MASC with fewer axes is left to Figure 11." in sheet.caption
    ((_, labels),) = drawn.legends(sheet)
    assert labels == [
        *["at the end; of probes on the last layer", "best epoch; of probes and rewinding, best layer too (oracle)"],
        *["at the end, best layer (oracle)", "early stopping"],
    ]


def test_figure_15_explains_what_it_shows(stopping):
    sheet, _ = stopping
    for phrase in [
        *["minus that of early stopping, in percentage points", "Filled dots: nothing is chosen"],
        *["Triangles: chosen on held-out noisy labels, compared with early stopping on the same labels"],
        *["Hollow marks: an oracle choice, compared with early stopping that is an oracle too"],
        *["labels in brackets are those that a probe was fitted on instead", "All is scored on test examples"],
        *["Oracle choices are made on test data: the best epoch in each run, the best layer once for each grid point"],
        *["Networks are measured after every epoch, probes and transfer at saved ones"],
        *["Transfer: the readout replaced", "Edited at an epoch", "Relabelled: trained from scratch"],
    ]:
        assert phrase in sheet.caption
    ((_, labels),) = drawn.legends(sheet)
    assert "epoch, and layer, chosen on held-out noisy labels" in labels and "early stopping" in labels


@pytest.mark.parametrize("seeds", [2, 5])
def test_figure_15_states_whether_it_has_intervals(seeds):
    """Bars are intervals of differences; of fewer than four data seeds neither the figure nor its caption has any."""
    some = frames.results(
        [("digits", "mlp")], levels=(0.6,), data_seeds=range(seeds), schedule=(0, 1, 4), probes=("masc", "velpic")
    )
    sheet, table = drawn.draw("fig15", some)
    bars = [path.vertices for ax in sheet.axes for found in ax.collections for path in found.get_paths()]
    interval = "95 % Student t interval of the difference, paired within runs" in sheet.caption
    assert interval == (seeds == 5)
    assert ("too few for an interval, the headline table has the runs" in sheet.caption) == (seeds == 2)
    ends = {tuple(np.round(sorted(bar[:, 0]), 9)) for bar in bars if np.isfinite(bar).all()}
    gaps = differences(table)
    wanted = {tuple(np.round(100 * gaps[["diff_low", "diff_high"]].astype(float).loc[k], 9)) for k in gaps.index}
    assert ends == (wanted if seeds == 5 else set())


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_states_what_it_shows(drawings, name):
    sheet, table = drawings(name)
    few = {"fig10": "the table has the runs", "fig11": "thin lines: the runs, too few for an interval"}
    few["fig15"] = "too few for an interval, the headline table has the runs"
    for phrase in ["n = 3 data seeds", few[name], "given (noisy) labels", "true labels", "oracle"]:
        assert phrase in sheet.caption
    assert "Student t" not in sheet.caption
    assert "Model seeds of a data seed are averaged first." in sheet.caption
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"} and set(table["split"]) == {"test"}
    assert drawn.overlaps(sheet) == []
    for page in sheet.pages:
        width, height = page.get_size_inches()
        assert width <= 7 + 1e-9 and height <= 9 + 1e-9
    assert min(text.get_fontsize() for text in sheet.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    letters = [drawn.letter(ax) for ax in sheet.axes]
    assert letters == list("abcdefgh")[: len(letters)]


def test_figure_10_states_how_far_its_numbers_are_to_be_trusted():
    four = frames.results([("digits", "mlp")], levels=(0.2, 0.6), data_seeds=range(4), schedule=(0, 1, 4))
    sheet, table = drawn.draw("fig10", four)
    cells = drawn.chosen(table, at="end")
    cells = cells[cells["series"] != "model"]
    half = 100 * (cells["high"] - cells["mean"])
    assert f"± {half.median():.1f} points in the median and at most ± {half.max():.1f}" in sheet.caption
    assert "95 % Student t intervals of cells" in sheet.caption


@pytest.mark.parametrize("name", NAMES)
def test_only_accuracies_on_test_examples_count(results, drawings, name):
    def with_others(frame):
        others = [frame.assign(metric="loss", value=1 - frame["value"]), frame.assign(split="other", value=0.0)]
        return pd.concat([*others, frame], ignore_index=True)

    names = ("probes", "history", "transfer", "edit", "relabel")
    more = results.replaced(**{table: with_others(getattr(results, table)) for table in names})
    pd.testing.assert_frame_equal(figures.draw(name, more).table, drawings(name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval_and_one_panel_room_for_its_names(name):
    options = {"noises": ("ketha2026",), "levels": (0.6,), "data_seeds": (7,), "schedule": (0, 1, 4)}
    sheet, table = drawn.draw(name, frames.results([("tiny-imagenet", "resnet18")], **options, edit_epochs=(1,)))
    assert "One data seed (n = 1): no interval." in sheet.caption and "Student t" not in sheet.caption
    assert table["low"].isna().all() and table["mean"].notna().all()
    assert drawn.overlaps(sheet) == []
    assert not any(drawn.runs(ax) or ax.collections for ax in sheet.axes)


@pytest.mark.parametrize("name", NAMES)
def test_many_levels_go_on_in_further_lines_and_nothing_overlaps(name):
    pairs = [("tiny-imagenet", "resnet18"), ("digits", "mlp")]
    levels = [k / 4 for k in range(5)]
    many = frames.results(pairs, noises=("ketha2026",), levels=levels, data_seeds=range(2), schedule=(0, 1, 3))
    # One data set lacks a level, and n differs.
    probes = many.probes[(many.probes["dataset"] == "digits") | (many.probes["level"] < 1)]
    probes = probes[(probes["level"] > 0) | (probes["data_seed"] == 0)]
    kept = probes[frames.SEEDED].drop_duplicates()
    others = ("history", "transfer", "edit", "relabel")
    few = {table: getattr(many, table).merge(kept, on=frames.SEEDED) for table in others}
    sheet, _ = drawn.draw(name, many.replaced(probes=probes, **few))
    titles = ["\n".join(drawn.title(ax).splitlines()[:2]) for ax in sheet.axes if drawn.title(ax)]
    shown = [f"level {level:g}\nn = {2 if level else 1}" for level in levels]
    assert titles == [*shown[:4], *shown] and drawn.overlaps(sheet) == []
    wanted = ["tiny-imagenet, resnet18, ketha2026 noise", "digits, mlp, ketha2026 noise"]
    assert list(drawn.blocks(sheet)) == wanted
    assert [len(row) for row in drawn.blocks(sheet)[wanted[0]]] == [4] * (2 if name == "fig11" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_many_layers_can_be_read(name):
    """Beside one of few layers: numbers do not run into one another, nor do names of layers, and all are there."""
    pairs, probes = [("cifar10", "vgg16"), ("digits", "mlp")], ("masc", "velpic", "masc-0.5")
    options = {"levels": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "data_seeds": (0,), "schedule": (0, 1, 3)}
    many = frames.results(pairs, probes=probes, edit_epochs=(1,), **options)
    sheet, _ = drawn.draw(name, many)
    assert drawn.overlaps(sheet) == []
    assert Counter(drawn.title(ax).splitlines()[0] for ax in sheet.axes if drawn.title(ax)) == Counter(
        2 * [f"level {level:g}" for level in options["levels"]]
    )
    for ax in sheet.axes:
        texts = [text for text in ax.texts if text.get_text() != drawn.heading(ax)]
        assert collisions(texts) == []
        assert collisions(ax.get_xticklabels()) == [] and collisions(ax.get_yticklabels()) == []
    if name == "fig10":
        assert {len(ax.get_xticklabels()) for ax in sheet.axes} == {19, 5}


def test_numbers_of_three_digits_have_room():
    pairs, options = [("cifar10", "vgg16")], {"levels": (0.0, 0.6), "data_seeds": (0,), "schedule": (0, 1, 3)}
    some = frames.results(pairs, probes=("masc", "velpic"), edit_epochs=(1,), **options)
    sheet, _ = drawn.draw("fig10", some.replaced(probes=some.probes.assign(value=1.0)))
    assert drawn.overlaps(sheet) == []
    for ax in sheet.axes:
        texts = [text for text in ax.texts if text.get_text() != drawn.heading(ax)]
        assert Counter(text.get_text() for text in texts)["100"] >= 38 and collisions(texts) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(results, drawings, name, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        figures.save(figures.draw(name, results), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv", "md"):
        made = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert made[0] == made[1] and made[0]
    table = pd.read_csv(tmp_path / "a" / f"{name}.csv")
    np.testing.assert_array_equal(table["mean"], drawings(name)[1]["mean"])


# --- what a reader chooses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_chooses_levels(results, drawings, name):
    sheet, table = drawn.draw(name, results, levels=[0.6])
    whole = drawings(name)[1]
    pd.testing.assert_frame_equal(
        table.reset_index(drop=True), whole[whole["level"] == 0.6].reset_index(drop=True), check_dtype=False
    )
    assert {drawn.title(ax).splitlines()[0] for ax in sheet.axes if drawn.title(ax)} == {"level 0.6"}
    assert drawn.overlaps(sheet) == []
    with pytest.raises(ValueError, match=r"no level 0\.3; there are 0\.0, 0\.6"):
        figures.draw(name, results, levels=[0.3])


@pytest.mark.parametrize("name", ["fig10", "fig11"])
def test_a_reader_chooses_layers(results, drawings, name):
    """Models without them have no panels; lines are of probes and keep their colours."""
    sheet, table = drawn.draw(name, results, layers=["fc2", "flat"])
    assert set(table["layer"].dropna()) == {"fc2", "flat"} and (table["series"] == "model").any()
    bottom = [row for row in drawn.rows(sheet) if row[0].xaxis.get_tick_params()["labelbottom"]]
    assert [along(row[0]) for row in bottom] == [["fc2"], ["flat", "fc2"]]
    assert drawn.overlaps(sheet) == []
    sheet, table = drawn.draw(name, results, layers=["flat"])
    assert set(table["model"]) == {"cnn"} and list(drawn.blocks(sheet)) == ["digits, cnn, uniform noise"]
    if name == "fig11":
        looks = style.layer_styles([*ABLATED, "masc"])
        assert [len(marks(drawn.panel(sheet, 0.6), color=look["color"])) for look in looks.values()] == [1] * 5
    with pytest.raises(ValueError, match="no layer 'fc9'; there are fc1, fc2, fc3, fc4, flat, input"):
        figures.draw(name, results, layers=["fc9"])


def test_figure_15_has_no_layers_to_choose(held_out):
    with pytest.raises(ValueError, match="no lines or panels of single layers; leave 'layers' out"):
        figures.draw("fig15", held_out, layers=["fc1"])


def test_a_reader_chooses_the_colour_of_a_threshold(results, drawings):
    sheet, table = drawn.draw("fig11", results, colours={"50 % of variance": "red"})
    pd.testing.assert_frame_equal(table, drawings("fig11")[1])
    looks = style.layer_styles([*ABLATED, "masc"])
    for row in (0, 1):
        ax, before = drawn.panel(sheet, 0.6, row), drawn.panel(drawings("fig11")[0], 0.6, row)
        for name, look in looks.items():
            colour = "red" if name == "masc-0.5" else look["color"]
            assert marks(ax, color=colour) == marks(before, color=look["color"])
        assert not marks(ax, color=looks["masc-0.5"]["color"])
    handles = {line.get_label(): line.get_color() for line in sheet.pages[0].legends[0].get_lines()}
    assert handles["50 % of variance"] == "red" and handles["one axis"] == looks["masc-one"]["color"]


def test_a_reader_chooses_the_colour_of_all_probes_of_figure_15(held_out, stopping):
    sheet, _ = drawn.draw("fig15", held_out, colours={"probe": "red"})
    ax, before = titled(sheet, 0.6)[0], titled(stopping[0], 0.6)[0]
    assert marks(ax, color="red") == marks(before, color=style.series_style(0)["color"])
    assert marks(ax, color="black") == marks(before, color="black")


@pytest.mark.parametrize("name", NAMES)
def test_colours_of_what_is_not_drawn_are_refused(held_out, results, name):
    with pytest.raises(ValueError, match="no line 'fc9'"):
        figures.draw(name, held_out if name == "fig15" else results, colours={"fc9": "red"})
