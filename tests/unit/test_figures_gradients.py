"""Figures 23 and 24: norms and directions of gradients over training."""

from types import SimpleNamespace

import drawn
import frames_gradients
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from latentgen import figures
from latentgen.figures import catalogue, views

pytestmark = pytest.mark.slow

NAMES = ["fig23", "fig24"]
RUN = ["data_seed", "model_seed"]
LAYERS = ["network", "fc1", "fc2", "fc3", "fc4", "output"]
NORM = "norm_per_root_parameter"
SOLID, DOTTED = "-", ":"


@pytest.fixture(scope="module")
def results():
    return frames_gradients.results(model_seeds=(0, 1))


@pytest.fixture(scope="module")
def made(results):
    return {name: figures.draw(name, results) for name in NAMES}


@pytest.fixture(scope="module")
def one():
    return frames_gradients.results(levels=(0.5,), data_seeds=(4,), schedule=(0, 1, 10, 60), early=False)


def values(results, **columns):
    rows = drawn.chosen(results.gradients, **columns)
    assert len(rows)
    return rows


def best_epochs(results, level):
    """{(data seed, model seed): the saved epoch of the highest test accuracy}, by hand."""
    own = drawn.chosen(results.history, split="test", labels="true", mode="evaluated", level=level)
    found = {}
    for seeds, run in own.groupby(RUN):
        saved = drawn.chosen(results.gradients, level=level, **dict(zip(RUN, seeds, strict=True)))["epoch"].unique()
        accuracy = run.set_index("epoch")["value"].loc[np.sort(saved)]
        found[seeds] = int(accuracy.index[np.argmax(accuracy.to_numpy())])
    return found


def geometric(by_run):
    """(mean, low, high) of {(data seed, model seed): value}: SciPy's t interval of logarithms, seed by seed."""
    seeds = sorted({seed for seed, _ in by_run})
    logs = [np.mean([np.log(value) for (seed, _), value in by_run.items() if seed == wanted]) for wanted in seeds]
    return np.exp([np.mean(logs), *stats.t.interval(0.95, len(logs) - 1, np.mean(logs), stats.sem(logs))])


def panels(fig, level):
    """{layer: its panels from the top down} of a level."""
    found = {}
    for top in fig.axes:
        if top.get_title().startswith(f"corruption {level:g}\n"):
            below = [ax for ax in fig.axes if ax.get_position().y0 <= top.get_position().y0 + 1e-6]
            below = [ax for ax in below if abs(ax.get_position().x0 - top.get_position().x0) < 1e-6]
            below.sort(key=lambda ax: -ax.get_position().y0)
            end = next((k for k, ax in enumerate(below) if k and ax.get_title()), len(below))
            found[top.get_title().split("\n")[1]] = below[:end]
    return found


def line(ax, group, style=SOLID):
    """{epoch: value} of the lines in the colour of a group and one style, without marks that no line joins."""
    colour = {**views.LOOKS, "selected": {"color": "#cc78bc"}}[group]["color"]
    lines = [found for found in drawn.lines(ax) if to_hex(found.get_color()) == to_hex(colour)]
    return {x: y for found in lines if dashes(found) == style for x, y in found.get_xydata() if np.isfinite(y)}


def dashes(found):
    """``-`` solid, ``--`` dashed, ``:`` dotted, None without a line."""
    if found.get_linestyle() == "None":
        return None
    pattern = found._unscaled_dash_pattern[1]
    return SOLID if not pattern else "--" if pattern[0] >= 3 else DOTTED


def of(table, **columns):
    rows = drawn.chosen(table, **columns)
    return dict(zip(rows["epoch"], rows["mean"], strict=True))


# --- which grids have them ------------------------------------------------------------------------


def test_a_grid_draws_what_its_cells_have_gradients_for(results, made):
    def cell(gradients):
        settings = {"gradients": gradients, "geometry": None, "probes": {}, "interventions": {}}
        return SimpleNamespace(settings=settings, model="mlp", declared_model={"factory": "mlp", "options": {}})

    assert not set(NAMES) & set(catalogue.available([cell(False)]))
    assert set(NAMES) <= set(catalogue.available([cell(False), cell(True)]))
    few = {table: getattr(results, table) for table in catalogue.tables("fig23", [cell(True)])}
    drawn_from = figures.Results.of(few, chance=results.chance)
    pd.testing.assert_frame_equal(figures.draw("fig23", drawn_from)[1], made["fig23"][1])


# --- figure 23 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "part", "layer"),
    [
        ("unpermuted", "label_centered", "fc2"),
        ("permuted", "independent_centered", "output"),
        ("permuted", "total", "network"),
    ],
)
def test_norms_are_geometric_means_and_runs_that_stopped_are_carried(results, made, group, part, layer):
    names = {"level": 0.5, "layer": layer, "group": group, "part": part, "metric": NORM}
    rows = values(results, **names)
    ends = rows.groupby(RUN)["epoch"].max()
    assert ends.nunique() > 1
    for epoch in (0, 1, 10, 60):
        row = drawn.chosen(made["fig23"][1], epoch=epoch, **names)
        wanted = drawn.expected(rows.assign(value=np.log(rows["value"])), epoch)
        np.testing.assert_allclose(drawn.stated(row, epoch), np.exp(wanted))
        assert (row["n"].item(), row["n_runs"].item()) == (3, 6)
        assert row["n_measured"].item() == (ends >= epoch).sum() and row["carried"].item() == (ends < epoch).any()
        assert row["parameters"].item() == (30 if layer == "network" else 6)


@pytest.mark.parametrize(
    ("group", "part"), [("permuted", "label_centered"), ("permuted", "total"), ("selected", "label_centered")]
)
def test_ratios_are_paired_within_runs(results, made, group, part):
    names = {"level": 0.5, "layer": "fc3", "part": part, "metric": NORM}
    over, under = (values(results, group=g, **names).set_index([*RUN, "epoch"])["value"] for g in (group, "unpermuted"))
    table = drawn.chosen(made["fig23"][1], group=group, **names).set_index("epoch")
    stop = best_epochs(results, 0.5)
    for epoch in (0, 1, 10):
        wanted = geometric({seeds: over[*seeds, epoch] / under[*seeds, epoch] for seeds in stop})
        np.testing.assert_allclose(table.loc[epoch, ["ratio", "low_ratio", "high_ratio"]].astype(float), wanted)
    largest = {
        seeds: max(over[*seeds, e] / under[*seeds, e] for e in over[seeds].index if 0 < e <= stop[seeds])
        for seeds in stop
    }
    stated = table[["largest_ratio", "largest_low_ratio", "largest_high_ratio"]].drop_duplicates()
    np.testing.assert_allclose(stated, [geometric(largest)])
    whole = drawn.chosen(made["fig23"][1], level=0.5)
    assert whole.loc[whole["group"] == "unpermuted", ["ratio", "largest_ratio"]].isna().all(axis=None)
    told = (whole["group"] == "permuted") & (whole["part"] == "label_centered")
    np.testing.assert_allclose(whole.loc[told, "expected_ratio"], 1 / 9)
    assert whole.loc[~told, "expected_ratio"].isna().all()


def test_figure_23_draws_the_table(results, made):
    fig, table = made["fig23"]
    columns = panels(fig, 0.5)
    assert list(columns) == LAYERS
    best = set(best_epochs(results, 0.5).values())
    for layer in ("network", "fc1", "output"):
        points = drawn.chosen(table, level=0.5, layer=layer)
        both, total, ratios = columns[layer]
        for group in ("unpermuted", "permuted"):
            for ax, part, style in (
                (both, "label_centered", SOLID),
                (both, "independent_centered", "--"),
                (total, "total", DOTTED),
            ):
                assert line(ax, group, style) == pytest.approx(of(points, group=group, part=part))
        for group, part, style in (
            ("permuted", "label_centered", SOLID),
            ("permuted", "total", DOTTED),
            ("selected", "label_centered", SOLID),
        ):
            rows = drawn.chosen(points, group=group, part=part)
            assert line(ratios, group, style) == pytest.approx(dict(zip(rows["epoch"], rows["ratio"], strict=True)))
        assert not line(ratios, "unpermuted")
        level = sorted(found.get_ydata()[0] for found in ratios.lines if list(found.get_xdata()) == [0, 1])
        assert level == pytest.approx([1 / 9, 1.0])
        for ax in (both, total, ratios):
            assert ax.get_yscale() == "log"
            assert [x.get_xdata()[0] for x in drawn.lines(ax) if list(x.get_ydata()) == [0, 1]] == sorted(
                {min(best), max(best)}
            )
        row = drawn.chosen(points, group="permuted", part="label_centered", epoch=1).iloc[0]
        assert both.get_title().split("\n")[-1] == f"{row['ratio']:.2f}, max {row['largest_ratio']:.2f}"
        assert set(points["first_best_epoch"]) == {min(best)} and set(points["last_best_epoch"]) == {max(best)}


@pytest.mark.parametrize("name", NAMES)
def test_panels_of_a_line_share_their_axis_and_hold_the_means(made, name):
    fig, _ = made[name]
    for level in (0.0, 0.5):
        for beside in zip(*panels(fig, level).values(), strict=True):
            assert len({ax.get_ylim() for ax in beside}) == 1
            low, high = beside[0].get_ylim()
            shown = [
                y for ax in beside for found in drawn.lines(ax) for y in found.get_ydata() if len(found.get_xdata()) > 2
            ]
            assert all(low < y < high for y in shown if np.isfinite(y))
            assert [
                any(label.get_visible() and label.get_text() for label in ax.get_yticklabels()) for ax in beside
            ] == [True] + [False] * 5


# --- figure 24 ------------------------------------------------------------------------------------


def test_directions_are_means_over_data_seeds(results, made):
    _, table = made["fig24"]
    shown = {
        ("cosine_with_unpermuted", "permuted"): ("label_centered", "independent_centered", "total"),
        ("projection", "permuted"): ("label_centered", "independent_centered"),
        ("projection", "unpermuted"): ("label_centered", "independent_centered"),
        ("cosine_with_independent", "permuted"): ("label_centered",),
        ("cosine_with_independent", "unpermuted"): ("label_centered",),
    }
    there = set(table[table["level"] == 0.5][["metric", "group", "part"]].itertuples(index=False, name=None))
    assert len(there) == sum(map(len, shown.values()))
    for (metric, group), parts in shown.items():
        for part in parts:
            names = {"level": 0.5, "layer": "fc4", "group": group, "part": part}
            rows = values(results, metric=metric, **names)
            if metric == "projection":
                rows = rows.assign(value=rows["value"] / np.sqrt(6))
            stated = {"metric": "projection_per_root_parameter" if metric == "projection" else metric, **names}
            for epoch in (0, 10, 60):
                np.testing.assert_allclose(drawn.stated(table, epoch, **stated), drawn.expected(rows, epoch))


def test_figure_24_draws_the_table(made):
    fig, table = made["fig24"]
    for layer in ("network", "fc2", "output"):
        points = drawn.chosen(table, level=0.5, layer=layer)
        groups, parts, projections = panels(fig, 0.5)[layer]
        for part, style in (("label_centered", SOLID), ("independent_centered", "--"), ("total", DOTTED)):
            wanted = of(points, metric="cosine_with_unpermuted", part=part)
            assert line(groups, "permuted", style) == pytest.approx(wanted)
        for group in ("unpermuted", "permuted"):
            assert line(parts, group) == pytest.approx(of(points, metric="cosine_with_independent", group=group))
            for part, style in (("label_centered", SOLID), ("independent_centered", "--")):
                wanted = of(points, metric="projection_per_root_parameter", group=group, part=part)
                assert line(projections, group, style) == pytest.approx(wanted)
        assert (groups.get_ylim(), projections.get_yscale()) == ((-1.06, 1.06), "symlog")
        ticks = projections.get_yticks()
        linear = projections.yaxis.get_transform().linthresh
        assert sorted(abs(ticks))[:3] == pytest.approx([0, linear, linear])


def test_projections_are_joined_while_their_sign_stays_and_paler_where_it_is_not_known(made):
    fig, table = made["fig24"]
    turned = unsure = 0
    for layer in LAYERS:
        rows = drawn.chosen(table, level=0.5, layer=layer, metric="projection_per_root_parameter")
        ax = panels(fig, 0.5)[layer][2]
        joined = [found.get_ydata() for found in drawn.lines(ax) if dashes(found) and len(found.get_xdata()) > 2]
        assert all((found[np.isfinite(found)] > 0).all() or (found[np.isfinite(found)] < 0).all() for found in joined)
        turned += sum(len(set(np.sign(part["mean"]))) > 1 for _, part in rows.groupby(["group", "part"]))
        pale = [found for found in drawn.lines(ax) if found.get_alpha() == 0.35]
        pale = sorted(tuple(xy) for found in pale for xy in found.get_xydata() if np.isfinite(xy[1]))
        runs = rows[["run1", "run2", "run3"]]
        zero = rows[(runs.min(axis=1) < 0) & (runs.max(axis=1) > 0)]
        np.testing.assert_allclose(pale, sorted(zip(zero["epoch"], zero["mean"], strict=True)))
        unsure += len(zero)
    assert turned and 0 < unsure < len(LAYERS) * 24


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_they_state_what_they_show_and_nothing_overlaps(made, name):
    fig, table = made[name]
    text = drawn.footer(fig)
    for phrase in (
        *("n = 3 data seeds", "too few for an interval", "Model seeds", "oracle", "given label", "Epoch 0", "stopped"),
        *("evaluation mode", "mislabelled", "expected to be", "at corruption 0."),
    ):
        assert phrase in text
    assert ("geometric" in text) == ("C classes" in text) == (name == "fig23")
    assert drawn.overlaps(fig) == [] and fig.get_size_inches()[0] <= 7.0 + 1e-9
    assert min(text.get_fontsize() for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert ("1/(C − 1)" in drawn.legends(fig)[0][1]) == ("selected" in drawn.legends(fig)[0][1]) == (name == "fig23")
    assert list(dict.fromkeys(table["layer"])) == LAYERS
    assert table["depth"].isna().equals(table["layer"] == "network")


@pytest.mark.parametrize("name", NAMES)
def test_without_corruption_there_is_nothing_to_compare(made, name):
    fig, table = made[name]
    assert set(drawn.chosen(table, level=0.0)["group"]) == {"unpermuted"}
    assert [len(beside) for beside in panels(fig, 0.0).values()] == [2] * 6
    assert f"No permuted{' and selected' * (name == 'fig23')} examples at corruption 0." in drawn.footer(fig)
    alone = frames_gradients.results(levels=(0.0,), data_seeds=(0,), schedule=(0, 1, 10))
    fig, table = figures.draw(name, alone)
    assert set(table["group"]) == {"unpermuted"} and "permuted" not in drawn.legends(fig)[0][1]
    assert "expected" not in drawn.footer(fig) and drawn.overlaps(fig) == []
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types


@pytest.mark.parametrize("name", NAMES)
def test_one_data_seed_has_no_interval_and_no_expectation_where_classes_are_unknown(one, name):
    fig, table = figures.draw(name, one.replaced(chance={}))
    text = drawn.footer(fig)
    assert "One data seed (n = 1): no interval." in text and "stopped" not in text and "C classes" not in text
    assert table[["low", "high"]].isna().all(axis=None) and not table["carried"].any()
    assert "1/(C − 1)" not in drawn.legends(fig)[0][1]
    if name == "fig23":
        assert table["expected_ratio"].isna().all()
    assert not any(found.get_alpha() == 0.35 for ax in fig.axes for found in drawn.lines(ax))
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    types = {"level": "double", "depth": "int64", "epoch": "int64", "n": "int64", "carried": "bool", "low": "double"}
    assert pa.null() not in arrow.schema.types
    assert {column: str(arrow.schema.field(column).type) for column in types} == types


@pytest.mark.parametrize("name", NAMES)
def test_many_layers_and_grid_points_find_their_place(name):
    pairs = [("tiny-imagenet", "vgg16"), ("digits", "cnn")]
    options = {"levels": (0.2, 0.6), "data_seeds": range(2), "schedule": (0, 1, 10, 100, 1000), "early": False}
    fig, table = figures.draw(name, frames_gradients.results(pairs, noises=("exclude_true",), **options))
    vgg = ["network", "conv1_1", "conv2_2", "pool3", "conv5_1", "output"]
    cnn = ["network", "flat", "fc1", "fc2", "output"]
    titles = [tuple(ax.get_title().split("\n")[:2]) for ax in fig.axes if ax.get_title()]
    assert titles == [
        (f"corruption {level}", layer) for layers in (vgg, cnn) for level in (0.2, 0.6) for layer in layers
    ]
    assert list(table["model"].unique()) == ["vgg16", "cnn"]
    assert drawn.overlaps(fig) == []


def test_zero_and_undefined_values_are_not_averaged_away(results):
    table = results.gradients.copy()
    at = {"level": 0.5, "layer": "fc1", "group": "permuted", "epoch": 1, "data_seed": 1, "model_seed": 0}
    zero = drawn.chosen(table, metric=NORM, part="total", **at).index
    null = drawn.chosen(table, metric="cosine_with_unpermuted", part="total", **at).index
    table.loc[zero, "value"], table.loc[null, "value"] = 0.0, np.nan
    spoilt = results.replaced(gradients=table)
    for name, metric in (("fig23", NORM), ("fig24", "cosine_with_unpermuted")):
        fig, drawn_table = figures.draw(name, spoilt)
        shown = drawn.chosen(drawn_table, level=0.5, layer="fc1", group="permuted", part="total", metric=metric)
        assert set(shown["epoch"]) == {0, 4, 10, 30, 60}
        assert "Zero or undefined, so not drawn with their means: 1 of " in drawn.footer(fig)


def test_a_network_that_is_best_untrained_has_no_largest_ratio(one):
    history = one.history.assign(value=one.history["value"].where(one.history["epoch"] > 0, 1.0))
    fig, table = figures.draw("fig23", one.replaced(history=history))
    assert table["largest_ratio"].isna().all() and table["last_best_epoch"].eq(0).all()
    row = drawn.chosen(table, layer="fc1", group="permuted", part="label_centered", epoch=1)
    assert panels(fig, 0.5)["fc1"][0].get_title().split("\n")[-1] == f"{row['ratio'].item():.2f}"


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("fig23", NORM),
        ("fig24", "projection"),
        ("fig24", "cosine_with_unpermuted"),
        ("fig24", "cosine_with_independent"),
    ],
)
def test_what_is_missing_is_named(one, name, metric):
    table = one.gradients
    for lacking in (
        table[table["metric"] != metric],
        table.assign(value=table["value"].where(table["metric"] != metric)),
    ):
        with pytest.raises(ValueError, match=f"no value of {metric}; see the configuration key 'gradients'"):
            figures.draw(name, one.replaced(gradients=lacking))
    with pytest.raises(ValueError, match="history table holds no test accuracy"):
        figures.draw(name, one.replaced(history=one.history.iloc[:0]))
