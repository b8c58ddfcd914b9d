"""What figures draw about a mean: intervals from four data seeds on, of fewer the runs themselves."""

import drawn
import frames
import frames_gradients
import frames_rewinding
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from test_figures_descent import synthetic

from latentgen.summary import RUNS

pytestmark = pytest.mark.slow

MAKE = {
    **dict.fromkeys(["fig1", "fig3", "fig9", "fig11", "fig12"], "plain"),
    **dict.fromkeys(["fig16", "fig17"], "geometry"),
    **dict.fromkeys(["fig23", "fig24"], "gradients"),
    **{"fig22": "rewinding", "fig25": "descent"},
}


@pytest.fixture(scope="module")
def results():
    """Results of so many data seeds, made once."""
    made = {}

    def of(kind, seeds):
        options = {"levels": (0.6,), "data_seeds": range(seeds), "schedule": (0, 1, 5, 40)}
        makers = {
            "plain": lambda: frames.results([("digits", "mlp")], **options, edit_epochs=(1,)),
            "geometry": lambda: frames.geometry_results(**options),
            "gradients": lambda: frames_gradients.results(**{**options, "levels": (0.5,)}),
            "rewinding": lambda: frames_rewinding.results(**options),
            "descent": lambda: synthetic(seeds=seeds),
        }
        if (kind, seeds) not in made:
            made[kind, seeds] = makers[kind]()
        return made[kind, seeds]

    return of


def intervals(sheet):
    """Bands and bars that have a place, of all panels."""
    found = []
    for ax in sheet.axes:
        for collection in ax.collections:
            if isinstance(collection, PolyCollection | LineCollection):
                found += [path for path in collection.get_paths() if np.isfinite(path.vertices).all(axis=1).any()]
    return found


@pytest.mark.parametrize("name", MAKE)
def test_two_runs_are_drawn_themselves_and_four_have_an_interval(results, name):
    sheet, table = drawn.draw(name, results(MAKE[name], 2))
    assert not intervals(sheet) and any(drawn.runs(ax) for ax in sheet.axes)
    assert ": the runs, too few for an interval" in sheet.caption and "Student t" not in sheet.caption
    known = np.concatenate([table[column] for column in table if column in RUNS or column.startswith("run")])
    known = np.unique(np.concatenate([known[np.isfinite(known)], 100 * known[np.isfinite(known)]]))
    across = name == "fig22"
    for ax in sheet.axes:
        low, high = ax.get_xlim() if across else ax.get_ylim()
        for line in drawn.runs(ax):
            values = np.asarray(line.get_xdata() if across else line.get_ydata(), dtype=float)
            values = values[np.isfinite(values)]
            # Each is a run of the table, and none is cut.
            assert np.abs(known[:, None] - values).min(axis=0).max() < 1e-9
            assert (values >= low).all() and (values <= high).all()
    sheet, table = drawn.draw(name, results(MAKE[name], 4))
    assert intervals(sheet) and not any(drawn.runs(ax) for ax in sheet.axes)
    assert "Student t interval" in sheet.caption and table[RUNS].isna().all(axis=None)


@pytest.mark.parametrize(
    ("name", "few", "many"),
    [
        ("fig10", "the table has the runs", "Student t intervals of cells are ±"),
        ("fig15", "too few for an interval, the headline table has the runs", "bars: 95 % Student t interval"),
    ],
)
def test_figures_without_runs_say_where_those_are(results, name, few, many):
    """Cells have numbers alone, and differences between means of two runs no table of their own."""
    sheet, table = drawn.draw(name, results("plain", 2))
    assert few in sheet.caption and "Student t" not in sheet.caption and table["run2"].notna().all()
    assert not intervals(sheet) and not any(drawn.runs(ax) for ax in sheet.axes)
    sheet, table = drawn.draw(name, results("plain", 4))
    assert many in sheet.caption and few not in sheet.caption and table[RUNS].isna().all(axis=None)
    assert bool(intervals(sheet)) == (name == "fig15")


def test_the_runs_of_figure_1_are_those_of_the_probes(results):
    """Each thin line is one run of one layer, epoch by epoch; two of them are symmetric about the mean."""
    made = results("plain", 2)
    sheet, table = drawn.draw("fig1", made)
    rows = drawn.chosen(made.probes, probe="masc", split="test", layer="fc2", epoch=1)
    found = drawn.chosen(table, layer="fc2", epoch=1).iloc[0]
    np.testing.assert_allclose(found[["run1", "run2"]].astype(float), rows.sort_values("data_seed")["value"])
    (row,) = drawn.chosen(table, layer="fc2", epoch=1)["mean"]
    assert row == pytest.approx(rows["value"].mean()) and np.isnan(found["run3"])
    of_layer = drawn.chosen(table, layer="fc2")
    lines = [line.get_xydata() for line in drawn.runs(sheet.axes[0])]
    for run in ("run1", "run2"):
        wanted = np.column_stack([of_layer["epoch"], 100 * of_layer[run]]).astype(float)
        assert any(line.shape == wanted.shape and np.allclose(line, wanted) for line in lines)


def test_a_figure_of_few_and_many_data_seeds_says_where_it_shows_runs(results):
    whole = results("plain", 4)
    one = frames.results([("digits", "cnn")], levels=(0.6,), data_seeds=range(2), schedule=(0, 1, 5, 40))
    both = whole.replaced(
        probes=pd.concat([whole.probes, one.probes]),
        history=pd.concat([whole.history, one.history]),
    )
    sheet, _ = drawn.draw("fig1", both)
    text = "n = 2 to 4 data seeds; bands: 95 % Student t interval over data seeds; thin lines: the runs, "
    assert text in sheet.caption and intervals(sheet) and any(drawn.runs(ax) for ax in sheet.axes)
