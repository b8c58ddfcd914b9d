"""What all figures share: how they are asked for, what they state, their layout, and their files."""

import re

import drawn
import frames
import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.colors import to_rgb

from latentgen import figures, tables
from latentgen.analyses import TABLES
from latentgen.figures import style
from latentgen.figures.results import Results

pytestmark = pytest.mark.slow

OVER_EPOCHS = ["fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9", "fig12", "fig13", "fig14"]
SCHEDULE = (0, 1, 3, 8)


@pytest.fixture(scope="module")
def results():
    pairs = [("mnist", "mlp"), ("mnist", "mlp-dropout"), ("mnist", "resnet18")]
    return frames.results(pairs, levels=(0.0, 0.6), data_seeds=range(3), schedule=SCHEDULE, edit_epochs=(1, 3))


# --- what they are drawn from ---------------------------------------------------------------------


def test_unknown_figures_are_refused(results):
    with pytest.raises(ValueError, match="'fig99' is unknown; there are fig1, fig2, "):
        figures.draw("fig99", results)


def test_results_have_every_table_and_refuse_what_is_none():
    history = tables.HISTORY.empty_table().to_pandas()
    results = Results.of({"history": history})
    assert results.history is history and list(results.edit.columns) == TABLES["edit"].schema.names
    assert results.probes.empty and results.chance == {}
    with pytest.raises(ValueError, match="no figure is drawn from a table 'records'"):
        Results.of({"records": history})
    with pytest.raises(ValueError, match="the probes table lacks the columns layer, depth"):
        Results.of({"probes": history})


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_only_accuracies_count(results, name):
    """Losses, that tables hold beside accuracies, and the order of rows change nothing."""

    def with_losses(frame):
        return pd.concat([frame.assign(metric="loss", value=1 - frame["value"]), frame], ignore_index=True)

    names = ("probes", "history", "transfer", "edit")
    more = Results.of(
        {table: with_losses(getattr(results, table)) for table in names},
        **{"settings": results.settings, "models": results.models, "chance": results.chance},
    )
    pd.testing.assert_frame_equal(figures.draw(name, more)[1], figures.draw(name, results)[1])


# --- what they state ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_every_figure_states_what_it_shows(results, name):
    fig, table = figures.draw(name, results)
    text = drawn.footer(fig)
    for phrase in ["n = 3 data seeds", "thin lines: the runs, too few for an interval", "given", "labels", "Epoch 0"]:
        assert phrase in text
    assert ("percentage points" in text) == ("paired" in text) == (name in ("fig3", "fig5", "fig14"))
    assert "chance" in text or name in ("fig3", "fig5")
    assert ("oracle" in text) == (name == "fig13")
    assert fig.get_size_inches()[0] <= 7.0 + 1e-9
    assert min(text.get_fontsize() for text in fig.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"}


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_one_seed_has_no_interval_and_no_chance_where_it_is_not_given(name):
    pairs = [("digits", "mlp"), ("digits", "mlp-dropout")]
    one = frames.results(pairs, levels=(0.6,), data_seeds=(7,), early=False, schedule=SCHEDULE, edit_epochs=(1,))
    one = Results.of({n: getattr(one, n) for n in tables_of(one)}, settings=one.settings, models=one.models)
    fig, table = figures.draw(name, one)
    text = drawn.footer(fig)
    assert "One data seed (n = 1): no interval." in text and "chance" not in text and "stopped" not in text
    assert table["low"].isna().all() and not table["carried"].any()
    shown = [y for ax in fig.axes for line in ax.lines if len(line.get_xdata()) > 2 for y in line.get_ydata()]
    assert len(shown) > 4 and not drawn.overlaps(fig)
    for ax in fig.axes:
        low, high = ax.get_ylim()
        assert all(low < y < high for line in ax.lines if line.get_linewidth() > 0.6 for y in line.get_ydata())


def tables_of(results):
    return [name for name in ("probes", "history", "transfer", "edit", "relabel") if not getattr(results, name).empty]


# --- their layout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fig1", "fig5", "fig7", "fig9", "fig12", "fig13", "fig14"])
def test_many_levels_go_on_in_further_rows_and_nothing_overlaps(name):
    levels = [k / 8 for k in range(8)]
    pairs = [("tiny-imagenet", "mlp"), ("tiny-imagenet", "mlp-dropout")]
    options = {"noises": ("ketha2026",), "levels": levels, "data_seeds": range(2), "schedule": (0, 1, 3)}
    fig, _ = figures.draw(name, frames.results(pairs, edit_epochs=(1,), edit_layers=("fc1",), **options))
    titles = [ax.get_title() for ax in fig.axes]
    shown = [f"corruption {level:g}" for level in levels]
    assert titles == shown * (len(titles) // 8) and len(titles) % 8 == 0
    assert drawn.overlaps(fig) == []


def test_layers_differ_in_colour_lightness_and_marker():
    names = [f"layer{i}" for i in range(6)]
    styles = style.layer_styles(names)
    lightness = [np.dot(to_rgb(styles[name]["color"]), [0.2126, 0.7152, 0.0722]) for name in names]
    assert (np.diff(lightness) > 0.03).all()
    # Even the lightest stands out from white paper.
    assert lightness[-1] < 0.75
    assert len({styles[name]["marker"] for name in names}) == 6


def test_lines_without_order_differ_in_colour_and_marker_and_neighbours_in_line_style():
    looks = [style.series_style(turn) for turn in range(8)]
    assert len({look["color"] for look in looks}) == len({look["marker"] for look in looks}) == 8
    assert all(a["linestyle"] != b["linestyle"] for a, b in zip(looks, looks[1:], strict=False))


# --- files ----------------------------------------------------------------------------------------


def test_save_writes_equal_bytes_and_the_numbers(results, tmp_path):
    for folder in ("a", "b"):
        fig, table = figures.draw("fig3", results)
        figures.save(fig, table, tmp_path / folder / "fig3")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["fig3.csv", "fig3.parquet", "fig3.pdf", "fig3.png", "fig3.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    stored = pq.read_table(tmp_path / "a" / "fig3.parquet").to_pandas()
    for numbers in (stored, pd.read_csv(tmp_path / "a/fig3.csv")):
        assert list(numbers.columns) == list(table.columns)
        np.testing.assert_array_equal(numbers["mean"], table["mean"])
        assert list(numbers["layer"]) == list(table["layer"])


def test_the_user_s_own_matplotlib_settings_change_nothing(results, tmp_path):
    """Those that people have: a dark style, a grid, tight boxes, other fonts, sizes, colours and lines."""
    own = {"savefig.bbox": "tight", "axes.grid": True, "lines.linewidth": 4, "font.family": "serif", "font.size": 20}
    own |= {"axes.facecolor": "black", "figure.facecolor": "black", "text.color": "white", "legend.frameon": True}
    own |= {"figure.constrained_layout.use": True, "axes.formatter.use_locale": True, "path.simplify": False}
    own |= {"savefig.transparent": True, "image.cmap": "jet", "lines.markersize": 12, "svg.fonttype": "none"}
    for name, settings in (("plain", {}), ("own", own)):
        with mpl.rc_context(settings):
            before = dict(mpl.rcParams)
            figures.save(*figures.draw("fig1", results), tmp_path / name)
            assert dict(mpl.rcParams) == before
    for suffix in ("pdf", "png", "svg"):
        assert (tmp_path / f"plain.{suffix}").read_bytes() == (tmp_path / f"own.{suffix}").read_bytes()


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_tables_have_a_type_in_every_column(results, name):
    """A column that is null throughout would otherwise lose its type in the file."""
    arrow = pa.Table.from_pandas(figures.draw(name, results)[1], preserve_index=False)
    assert pa.null() not in arrow.schema.types
    types = {"level": "double", "depth": "int64", "epoch": "int64", "n": "int64", "carried": "bool", "mean": "double"}
    assert {column: str(arrow.schema.field(column).type) for column in types} == types


def test_saved_files_embed_truetype_and_no_date(results, tmp_path):
    fig, table = figures.draw("fig1", results)
    figures.save(fig, table, tmp_path / "fig1")
    pdf = (tmp_path / "fig1.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    png = (tmp_path / "fig1.png").read_bytes()
    size = np.frombuffer(png[16:24], ">u4")
    np.testing.assert_allclose(size, fig.get_size_inches() * 200, atol=1)
    assert not re.search(r"<dc:date>", (tmp_path / "fig1.svg").read_text())
