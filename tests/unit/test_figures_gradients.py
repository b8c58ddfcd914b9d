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
from latentgen.figures import catalogue
from latentgen.figures.geometry import views

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
    return {name: drawn.draw(name, results) for name in NAMES}


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


def panels(sheet, level):
    """{layer: its panels from the top down} of a level."""
    top, *below = drawn.blocks(sheet)[f"digits, mlp, uniform noise, level {level:g}"]
    return {drawn.title(ax): [ax, *beneath] for ax, *beneath in zip(top, *below, strict=True)}


def fits(sheet):
    """Whether nothing overlaps, pages are small enough and letters large enough."""
    sizes = [page.get_size_inches() for page in sheet.pages]
    letters = sheet.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    return (
        drawn.overlaps(sheet) == []
        and all(width <= 7.0 + 1e-9 and height <= 9.0 + 1e-9 for width, height in sizes)
        and min(text.get_fontsize() for text in letters) >= 7
    )


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
    pd.testing.assert_frame_equal(figures.draw("fig23", drawn_from).table, made["fig23"][1])


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
    sheet, table = made["fig23"]
    columns = panels(sheet, 0.5)
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
        assert set(points["first_best_epoch"]) == {min(best)} and set(points["last_best_epoch"]) == {max(best)}


@pytest.mark.parametrize("name", NAMES)
def test_panels_of_a_row_share_their_axis_and_hold_the_means(made, name):
    sheet, _ = made[name]
    for level in (0.0, 0.5):
        for beside in zip(*panels(sheet, level).values(), strict=True):
            assert len({ax.get_ylim() for ax in beside}) == 1
            low, high = beside[0].get_ylim()
            shown = [
                y for ax in beside for found in drawn.lines(ax) for y in found.get_ydata() if len(found.get_xdata()) > 2
            ]
            assert all(low < y < high for y in shown if np.isfinite(y))
            assert [
                any(label.get_visible() and label.get_text() for label in ax.get_yticklabels()) for ax in beside
            ] == [True] + [False] * 5
            assert [bool(ax.get_ylabel()) for ax in beside] == [True] + [False] * 5


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
    sheet, table = made["fig24"]
    for layer in ("network", "fc2", "output"):
        points = drawn.chosen(table, level=0.5, layer=layer)
        groups, parts, projections = panels(sheet, 0.5)[layer]
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


def test_projections_are_whole_lines_on_a_symmetric_axis(made):
    sheet, table = made["fig24"]
    turned = 0
    for layer in LAYERS:
        rows = drawn.chosen(table, level=0.5, layer=layer, metric="projection_per_root_parameter")
        ax = panels(sheet, 0.5)[layer][2]
        low, high = ax.get_ylim()
        assert low == -high and high > rows["mean"].abs().max()
        turned += sum(len(set(np.sign(part["mean"]))) > 1 for _, part in rows.groupby(["group", "part"]))
        # A line has no gap where its sign changes, and one more part where it is thinner.
        joined = [found for found in drawn.lines(ax) if dashes(found) and len(found.get_xdata()) > 2]
        assert len(joined) == 4 and not any(np.isnan(found.get_ydata()).any() for found in joined)
        assert {found.get_alpha() for found in drawn.lines(ax)} == {None}
        for run in ("run1", "run2", "run3"):
            shown = [dict(found.get_xydata()) for found in drawn.runs(ax)]
            for _, part in rows.groupby(["group", "part"]):
                assert pytest.approx(dict(zip(part["epoch"], part[run], strict=True))) in shown
    assert turned


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_they_state_what_they_show_and_nothing_overlaps(made, name):
    sheet, table = made[name]
    for phrase in (
        *("n = 3 data seeds", "thin lines: the runs, too few for an interval", "Model seeds of a data seed"),
        *("highest test accuracy, in each run: an oracle, chosen on test data", "given label's logit", "Epoch 0"),
        *("a run stopped", "evaluation mode", "permuted: mislabelled ones, with their given labels", "expected to be"),
        *("Nothing is fitted or scored", "at most five are drawn, even over depth", "level 0."),
    ):
        assert phrase in sheet.caption
    assert ("geometric" in sheet.caption) == ("C classes" in sheet.caption) == (name == "fig23")
    assert ("linear between the ticks beside zero" in sheet.caption) == (name == "fig24")
    assert ("may turn from epoch to epoch" in sheet.caption) == (name == "fig24")
    assert fits(sheet)
    (labels,) = [labels for _, labels in drawn.legends(sheet)]
    assert ("1/(C − 1)" in labels) == ("selected" in labels) == ("equal norms" in labels) == (name == "fig23")
    assert {"unpermuted", "permuted", "label-dependent part", "label-independent part", "total"} <= set(labels)
    assert "network's best epoch (oracle)" in labels and ("zero" in labels) == (name == "fig24")
    assert list(dict.fromkeys(table["layer"])) == LAYERS
    assert table["depth"].isna().equals(table["layer"] == "network")


@pytest.mark.parametrize("name", NAMES)
def test_without_corruption_there_is_nothing_to_compare(made, name):
    sheet, table = made[name]
    assert set(drawn.chosen(table, level=0.0)["group"]) == {"unpermuted"}
    assert [len(beside) for beside in panels(sheet, 0.0).values()] == [2] * 6
    assert f"No permuted{' and selected' * (name == 'fig23')} examples at level 0." in sheet.caption
    alone = frames_gradients.results(levels=(0.0,), data_seeds=(0,), schedule=(0, 1, 10))
    sheet, table = drawn.draw(name, alone)
    assert set(table["group"]) == {"unpermuted"} and "permuted" not in drawn.legends(sheet)[0][1]
    assert "expected" not in sheet.caption and fits(sheet)
    assert pa.null() not in pa.Table.from_pandas(table, preserve_index=False).schema.types


@pytest.mark.parametrize("name", NAMES)
def test_one_data_seed_has_no_interval_and_no_expectation_where_classes_are_unknown(one, name):
    sheet, table = drawn.draw(name, one.replaced(chance={}))
    text = sheet.caption
    assert "One data seed (n = 1): no interval." in text and "stopped" not in text and "C classes" not in text
    assert table[["low", "high"]].isna().all(axis=None) and not table["carried"].any()
    assert "1/(C − 1)" not in drawn.legends(sheet)[0][1]
    if name == "fig23":
        assert table["expected_ratio"].isna().all()
    assert not any(drawn.runs(ax) for ax in sheet.axes)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    types = {"level": "double", "depth": "int64", "epoch": "int64", "n": "int64", "carried": "bool", "low": "double"}
    assert pa.null() not in arrow.schema.types
    assert {column: str(arrow.schema.field(column).type) for column in types} == types


@pytest.mark.parametrize("name", NAMES)
def test_many_layers_and_grid_points_find_their_place(name):
    pairs = [("tiny-imagenet", "vgg16"), ("digits", "cnn")]
    options = {"levels": (0.2, 0.6), "data_seeds": range(2), "schedule": (0, 1, 10, 100, 1000), "early": False}
    sheet, table = drawn.draw(name, frames_gradients.results(pairs, noises=("exclude_true",), **options))
    vgg = ["network", "conv1_1", "conv2_2", "pool3", "conv5_1", "output"]
    cnn = ["network", "flat", "fc1", "fc2", "output"]
    shown = [(block, [drawn.title(ax) for ax in rows[0]]) for block, rows in drawn.blocks(sheet).items()]
    assert shown == [
        (f"{pair}, exclude_true noise, level {level}", layers)
        for pair, layers in (("tiny-imagenet, vgg16", vgg), ("digits, cnn", cnn))
        for level in (0.2, 0.6)
    ]
    assert list(table["model"].unique()) == ["vgg16", "cnn"]
    # A grid point stays on one page.
    assert len(sheet.pages) == 2 and {len(page.axes) for page in sheet.pages} == {36, 30}
    assert fits(sheet)


def test_zero_and_undefined_values_are_not_averaged_away(results):
    table = results.gradients.copy()
    at = {"level": 0.5, "layer": "fc1", "group": "permuted", "epoch": 1, "data_seed": 1, "model_seed": 0}
    zero = drawn.chosen(table, metric=NORM, part="total", **at).index
    null = drawn.chosen(table, metric="cosine_with_unpermuted", part="total", **at).index
    table.loc[zero, "value"], table.loc[null, "value"] = 0.0, np.nan
    spoilt = results.replaced(gradients=table)
    for name, metric in (("fig23", NORM), ("fig24", "cosine_with_unpermuted")):
        sheet, drawn_table = drawn.draw(name, spoilt)
        shown = drawn.chosen(drawn_table, level=0.5, layer="fc1", group="permuted", part="total", metric=metric)
        assert set(shown["epoch"]) == {0, 4, 10, 30, 60}
        assert "Zero or undefined, so not drawn with their means: 1 of " in sheet.caption


def test_a_network_that_is_best_untrained_has_no_largest_ratio(one):
    history = one.history.assign(value=one.history["value"].where(one.history["epoch"] > 0, 1.0))
    sheet, table = drawn.draw("fig23", one.replaced(history=history))
    assert table["largest_ratio"].isna().all() and table["last_best_epoch"].eq(0).all()
    rows = drawn.chosen(table, layer="fc1", group="permuted", part="label_centered")
    wanted = dict(zip(rows["epoch"], rows["ratio"], strict=True))
    assert line(panels(sheet, 0.5)["fc1"][2], "permuted") == pytest.approx(wanted) and len(wanted) == 4


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


# --- what a reader chooses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_chooses_layers_and_levels(results, made, name):
    sheet, table = drawn.draw(name, results, layers=["fc4", "network"], levels=[0.5])
    whole = made[name][1]
    wanted = whole[whole["layer"].isin(["fc4", "network"]) & (whole["level"] == 0.5)]
    pd.testing.assert_frame_equal(table, wanted.reset_index(drop=True))
    (block,) = drawn.blocks(sheet).values()
    assert [[drawn.title(ax) for ax in row] for row in block] == [["network", "fc4"], ["", ""], ["", ""]]
    # What is left out is not spoken of.
    assert "level 0." not in sheet.caption and "level 0." in made[name][0].caption
    before = panels(made[name][0], 0.5)
    for layer, shown in panels(sheet, 0.5).items():
        for ax, same in zip(shown, before[layer], strict=True):
            for group in ("unpermuted", "permuted"):
                for style in (SOLID, "--", DOTTED):
                    assert line(ax, group, style) == line(same, group, style)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_sees_layers_that_are_not_drawn_by_default(name):
    deep = frames_gradients.results(
        [("cifar10", "vgg16")], levels=(0.5,), data_seeds=(0,), schedule=(0, 1, 10), early=False
    )
    sheet, table = drawn.draw(name, deep, layers=["conv3_2"])
    assert set(table["layer"]) == {"conv3_2"} and {drawn.title(row[0]) for row in drawn.rows(sheet)} == {"conv3_2", ""}


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_colours_one_group(results, made, name):
    drawn.assert_one_recoloured(name, results, made[name], "permuted", "unpermuted")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_reader_cannot_choose_is_named(one, name):
    for chosen, message in (
        ({"layers": ["fc9"]}, "no layer 'fc9'; there are fc1, fc2, fc3, fc4, network, output"),
        ({"levels": [0.3]}, "no level 0.3; there are 0.5"),
        ({"colours": {"restored": "red"}}, "no line 'restored'; there are permuted, selected, unpermuted"),
    ):
        with pytest.raises(ValueError, match=message):
            figures.draw(name, one, **chosen)
