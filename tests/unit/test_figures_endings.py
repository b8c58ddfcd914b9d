"""Figures 10, 11 and 15: probes at the end of training, the axes MASC keeps, and early stopping beside everything."""

import drawn
import frames
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from latentgen import figures, summary
from latentgen.figures import style
from latentgen.figures.results import Results
from latentgen.probes import compared

pytestmark = pytest.mark.slow

NAMES = ["fig10", "fig11", "fig15"]
RUN = ["data_seed", "model_seed"]


@pytest.fixture(scope="module")
def results():
    pairs = [("digits", "mlp"), ("digits", "cnn")]
    options = {"levels": (0.0, 0.6), "data_seeds": range(3), "model_seeds": (0, 1), "edit_epochs": (1, 4)}
    return frames.results(pairs, **options, schedule=(0, 1, 4, 30, 60))


@pytest.fixture(scope="module")
def held_out():
    options = {"levels": (0.2, 0.6), "data_seeds": range(3), "schedule": (0, 1, 4, 30, 60), "validation": True}
    return frames.results([("digits", "mlp")], probes=("masc", "velpic", "masc-true"), edit_epochs=(1,), **options)


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
    """Points of the lines of a panel that have markers and these properties, as {x: y}."""
    lines = [line for line in drawn.lines(ax) if line.get_marker() not in ("None", "")]
    lines = [line for line in lines if all(getattr(line, f"get_{k}")() == v for k, v in properties.items())]
    return [(x, y) for line in lines for x, y in line.get_xydata() if np.isfinite(y)]


def titled(fig, level):
    return [ax for ax in fig.axes if ax.get_title().startswith(f"corruption {level:g}")]


# --- figures 10 and 11: the numbers ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "probe"), [("fig10", "velpic"), ("fig10", "masc-true"), ("fig11", "masc-0.5")])
def test_tables_hold_ends_and_beginnings(results, name, probe):
    _, table = figures.draw(name, results)
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


def test_figure_10_leaves_fewer_axes_and_other_modes_to_other_figures(results):
    fig, table = figures.draw("fig10", results)
    probes = ["masc", "velpic", "logistic", "masc-true", "nearest-mean", "knn"]
    assert list(dict.fromkeys(table["series"])) == [*probes, "model"]
    ((_, labels),) = drawn.legends(fig)
    assert labels == [
        *["MASC", "VeLPIC", "logistic regression", "masc-true [true]", "nearest-mean", "knn"],
        *["untrained network", "network, end", "network, best epoch (oracle)"],
    ]
    text = drawn.footer(fig)
    assert "MASC with fewer axes is left to Figure 11." in text and "In brackets" in text


def test_figure_10_without_such_probes_does_not_speak_of_them():
    plain = frames.results(
        [("digits", "mlp")], levels=(0.6,), schedule=(0, 1, 2), edit_epochs=(0,), probes=("masc", "velpic")
    )
    text = drawn.footer(figures.draw("fig10", plain)[0])
    assert "brackets" not in text and "Figure 11" not in text


def test_figure_11_has_thresholds_in_order_with_the_axes_kept(results):
    fig, table = figures.draw("fig11", results)
    shown = ["masc-one", "masc-0.25", "masc-0.5", "masc-0.75", "masc"]
    assert list(dict.fromkeys(table["series"])) == [*shown, "model"]
    ((_, labels),) = drawn.legends(fig)
    assert labels[:5] == ["one axis", *(f"{part} % of variance" for part in (25, 50, 75, 99))]
    ranks = [ax for ax in fig.axes if "axes kept" in ax.get_ylabel()]
    assert len(ranks) == 2
    for name, colour in zip(shown, style.layer_styles(shown).values(), strict=True):
        rank = drawn.chosen(table, series=name, model="mlp", level=0.0)["rank"]
        found = marks(ranks[0], color=colour["color"])
        np.testing.assert_allclose([y for _, y in found], rank)
        assert (ranks[0].get_ylim()[0] < rank.min()) and (rank.max() < ranks[0].get_ylim()[1])


def test_figure_11_needs_two_thresholds(results):
    one = results.replaced(settings={name: results.settings[name] for name in ("masc", "velpic")})
    with pytest.raises(ValueError, match="fewer than two probes of kind masc .* key 'probes'"):
        figures.draw("fig11", one)
    with pytest.raises(ValueError, match="no test accuracies .* key 'probes'"):
        figures.draw("fig10", results.replaced(probes=results.probes.iloc[:0]))


# --- figures 10 and 11: what is drawn -------------------------------------------------------------


@pytest.mark.parametrize("name", ["fig10", "fig11"])
def test_marks_are_the_table(results, name):
    fig, table = figures.draw(name, results)
    turns = {"fig10": ["masc", "velpic", "logistic"], "fig11": ["masc-one", "masc-0.25", "masc-0.5"]}[name]
    looks = {probe: style.series_style(turn) for turn, probe in enumerate(turns)}
    if name == "fig11":
        looks = style.layer_styles(["masc-one", "masc-0.25", "masc-0.5", "masc-0.75", "masc"])
    ax = titled(fig, 0.6)[0]
    points = drawn.chosen(table, model="mlp", level=0.6)
    assert [label.get_text() for label in ax.get_xticklabels()][:1] == (["input"] if name == "fig10" else [""])
    for probe in turns:
        look = looks[probe]
        for at, face in (("end", look["color"]), ("initialisation", "white")):
            rows = drawn.chosen(points, series=probe, at=at)
            found = marks(ax, color=look["color"], markerfacecolor=face)
            assert len(found) == len(rows) == (0 if name == "fig11" and at == "initialisation" else 5)
            # Each layer has its own stretch of the axis, in order of depth.
            assert [round(x) for x, _ in found] == list(rows["depth"])
            np.testing.assert_allclose([y for _, y in found], 100 * rows["mean"])
    for at, line in (("end", ":"), ("best epoch", "--")):
        row = drawn.chosen(points, series="model", at=at)
        heights = [line.get_ydata()[0] for line in drawn.lines(ax) if list(line.get_xdata()) == [0, 1]]
        assert any(abs(height - 100 * row["mean"].item()) < 1e-9 for height in heights), line


def test_a_probe_that_skips_a_layer_is_not_joined_across_it(results):
    skipping = (results.probes["probe"] == "velpic") & (results.probes["layer"] == "fc2")
    fig, table = figures.draw("fig10", results.replaced(probes=results.probes[~skipping]))
    assert len(drawn.chosen(table, series="velpic", model="mlp", level=0.6, at="end")) == 4
    ax = titled(fig, 0.6)[0]
    colour = style.series_style(1)["color"]
    (line,) = [line for line in drawn.lines(ax) if line.get_color() == colour and line.get_markerfacecolor() == colour]
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False]


def test_chance_is_drawn_where_a_panel_reaches_it(results):
    fig, _ = figures.draw("fig10", results.replaced(chance={"digits": 0.1}))
    assert "chance" not in drawn.footer(fig)
    fig, _ = figures.draw("fig10", results.replaced(chance={"digits": 0.6}))
    assert "Grey line: chance." in drawn.footer(fig)
    assert any(line.get_color() == "0.6" and line.get_ydata()[0] == 60 for line in titled(fig, 0.6)[0].lines)


# --- figure 15 ------------------------------------------------------------------------------------


def test_figure_15_agrees_with_the_headline(held_out):
    _, table = figures.draw("fig15", held_out)
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


def test_figure_15_compares_within_runs(held_out):
    _, table = figures.draw("fig15", held_out)
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


def test_figure_15_draws_oracles_hollow_and_lines_at_early_stopping(held_out):
    fig, table = figures.draw("fig15", held_out)
    ax = titled(fig, 0.6)[0]
    points = drawn.chosen(table, level=0.6)
    hollow, filled = marks(ax, markerfacecolor="white"), []
    for colour in ("black", *(style.series_style(turn)["color"] for turn in (0, 2, 3, 4))):
        filled += marks(ax, markerfacecolor=colour)
    oracle = points["choice"] == "oracle"
    np.testing.assert_allclose(sorted(x for x, _ in hollow), sorted(100 * points["mean"][oracle]))
    np.testing.assert_allclose(sorted(x for x, _ in filled), sorted(100 * points["mean"][~oracle]))
    lines = [line for line in drawn.lines(ax) if list(line.get_ydata()) == [0, 1]]
    stopped = drawn.chosen(points, quantity="model_best_epoch").set_index("choice")["mean"]
    for choice, dashed in (("oracle", True), ("validation", False)):
        (line,) = [line for line in lines if line.is_dashed() == dashed]
        assert line.get_xdata()[0] == pytest.approx(100 * stopped[choice])
    titled(fig, 0.2)[0].figure.canvas.draw()
    series = [label.get_text() for label in titled(fig, 0.2)[0].get_yticklabels()]
    assert series == [
        *["network", "MASC", "VeLPIC", "masc-true [true]", "transfer, zero bias", "transfer, kept bias"],
        *["edited at 1, fc4, kept bias", "edited at 1, fc4, zero bias", "continued from 1", "relabelled by masc, fc4"],
    ]
    # Every mark stands on the line that bears its name.
    for row in points.itertuples():
        heights = [y for x, y in (*hollow, *filled) if abs(x - 100 * row.mean) < 1e-9]
        assert any(round(-y) == series.index(row.series) for y in heights)


def test_figure_15_is_drawn_of_a_grid_without_interventions_and_held_out_labels(results):
    plain = Results.of({"probes": results.probes, "history": results.history}, settings=results.settings)
    fig, table = figures.draw("fig15", plain)
    assert {quantity.split("_")[0] for quantity in table["quantity"]} == {"model", "probe"}
    # Seven probes: the four with fewer axes are left to figure 11.
    assert table["validation_diff"].isna().all() and table["diff"].notna().sum() == 4 + 4 * 3 * 7
    assert not set(table["series"]) & set(compared.thresholds(results.settings)[:-1])
    text = drawn.footer(fig)
    assert not any(word in text for word in ("Transfer", "Edited", "Relabelled"))
    ((_, labels),) = drawn.legends(fig)
    assert not any("held-out" in label for label in labels)


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_states_what_it_shows(results, name):
    fig, table = figures.draw(name, results)
    text = drawn.footer(fig)
    for phrase in [
        "n = 3 data seeds",
        ": the runs, too few for an interval",
        "given (noisy) labels",
        "true labels",
        "oracle",
    ]:
        assert phrase in text
    assert "Model seeds of a data seed are averaged first." in text and "Each panel has an axis of its own" in text
    assert fig.get_size_inches()[0] <= 7.0 + 1e-9
    assert min(text.get_fontsize() for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"} and set(table["split"]) == {"test"}


@pytest.mark.parametrize("name", NAMES)
def test_only_accuracies_on_test_examples_count(results, name):
    def with_others(frame):
        others = [frame.assign(metric="loss", value=1 - frame["value"]), frame.assign(split="other", value=0.0)]
        return pd.concat([*others, frame], ignore_index=True)

    names = ("probes", "history", "transfer", "edit", "relabel")
    more = results.replaced(**{table: with_others(getattr(results, table)) for table in names})
    pd.testing.assert_frame_equal(figures.draw(name, more)[1], figures.draw(name, results)[1])


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval(name):
    one = frames.results([("digits", "mlp")], levels=(0.6,), data_seeds=(7,), schedule=(0, 1, 4), edit_epochs=(1,))
    fig, table = figures.draw(name, one)
    assert "One data seed (n = 1): no interval." in drawn.footer(fig)
    assert table["low"].isna().all() and table["mean"].notna().all()
    assert drawn.overlaps(fig) == []


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
    fig, _ = figures.draw(name, many.replaced(probes=probes, **few))
    titles = [ax.get_title().replace("\n", ", ") for ax in fig.axes if ax.get_title()]
    shown = [f"corruption {level:g}, n = {2 if level else 1}" for level in levels]
    if name != "fig15":
        assert titles == [*shown[:4], *shown]
    assert len(titles) == 9 and drawn.overlaps(fig) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_files(results, name, tmp_path):
    for folder in ("a", "b"):
        figures.save(*figures.draw(name, results), tmp_path / folder / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv"):
        made = [(tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("a", "b")]
        assert made[0] == made[1] and made[0]
    table = pd.read_csv(tmp_path / "a" / f"{name}.csv")
    np.testing.assert_array_equal(table["mean"], figures.draw(name, results)[1]["mean"])


def test_lines_that_stand_for_probes_can_be_told_apart(results):
    fig, _ = figures.draw("fig10", results)
    looks = [(to_hex(handle.get_color()), handle.get_marker()) for handle in fig.legends[0].get_lines()[:6]]
    assert len(set(looks)) == 6 == len({colour for colour, _ in looks}) == len({marker for _, marker in looks})
