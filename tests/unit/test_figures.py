"""What all figures share: how they are asked for, what they state, their layout, and their files."""

import functools
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import drawn
import frames
import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from latentgen import figures, tables
from latentgen.analyses import TABLES
from latentgen.figures.page import style
from latentgen.numbers.results import Results

pytestmark = pytest.mark.slow

OVER_EPOCHS = ["fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig9", "fig12", "fig13", "fig14"]
DIFFERENCES = ("fig3", "fig5")
SCHEDULE = (0, 1, 3, 8)


def grid(*models):
    pairs = [("mnist", model) for model in models]
    return frames.results(pairs, levels=(0.0, 0.6), data_seeds=range(3), schedule=SCHEDULE, edit_epochs=(1, 3))


@pytest.fixture(scope="module")
def plain():
    return grid("mlp", "resnet18")


@pytest.fixture(scope="module")
def dropout():
    return grid("mlp", "mlp-dropout")


@pytest.fixture
def results(request, plain, dropout):
    """What the figure ``name`` of a test can be drawn from."""
    callspec = getattr(request.node, "callspec", None)
    return dropout if callspec and callspec.params.get("name") == "fig13" else plain


@pytest.fixture(scope="module")
def sheet_of(plain, dropout):
    """The sheet of a figure by its name, drawn once."""
    return functools.cache(lambda name: drawn.draw(name, dropout if name == "fig13" else plain)[0])


def same(table, expected):
    pd.testing.assert_frame_equal(table.reset_index(drop=True), expected.reset_index(drop=True))


def labels_of_legends(sheet):
    return {label for _, labels in drawn.legends(sheet) for label in labels}


# --- what they are drawn from ---------------------------------------------------------------------


def test_unknown_figures_are_refused(results):
    with pytest.raises(ValueError, match="'fig99' is unknown; there are fig1, fig2, "):
        figures.draw("fig99", results)


@pytest.mark.parametrize("name", ["fig7", "fig8"])
def test_figures_that_are_a_part_of_another_name_it(results, name):
    with pytest.raises(ValueError, match=f"{name} is a row of panels of fig6 now; ask for fig6"):
        figures.draw(name, results)


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
def test_only_accuracies_count(results, sheet_of, name):
    """Losses, that tables hold beside accuracies, and the order of rows change nothing."""

    def with_losses(frame):
        return pd.concat([frame.assign(metric="loss", value=1 - frame["value"]), frame], ignore_index=True)

    names = ("probes", "history", "transfer", "edit")
    more = results.replaced(**{table: with_losses(getattr(results, table)) for table in names})
    pd.testing.assert_frame_equal(figures.draw(name, more).table, sheet_of(name).table)


# --- what they state ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_every_figure_states_what_it_shows(sheet_of, name):
    sheet = sheet_of(name)
    text, table = sheet.caption, sheet.table
    for phrase in ["n = 3 data seeds", ": the runs, too few for an interval", "given", "labels", "Epoch 0"]:
        assert phrase in text
    assert ("thin lines and ticks: the runs" in text) == (name == "fig12")
    assert "thin lines" in text
    assert ("percentage points" in text) == ("paired" in text) == (name in (*DIFFERENCES, "fig14"))
    assert any("chance" in label for label in labels_of_legends(sheet)) == (name not in DIFFERENCES)
    assert ("oracle" in text) == (name == "fig13")
    assert "probability that a training example was selected for a new label" in text
    assert set(table["n"]) == {3} and set(table["metric"]) == {"accuracy"}


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_stopped_runs_are_a_caveat(sheet_of, name):
    sheet = sheet_of(name)
    assert sheet.table["carried"].any()
    assert "Triangles: a run stopped; from there on its last value counts in the mean" in sheet.caption
    marks = [line for ax in sheet.axes for line in ax.lines if line.get_marker() == "v"]
    assert any(line.get_linestyle() == "None" for line in marks)


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_one_seed_has_no_interval_and_no_chance_where_it_is_not_given(name):
    pairs = [("digits", "mlp"), ("digits", "mlp-dropout")]
    one = frames.results(pairs, levels=(0.6,), data_seeds=(7,), early=False, schedule=SCHEDULE, edit_epochs=(1,))
    sheet, table = drawn.draw(name, one.replaced(chance={}))
    text = sheet.caption
    assert "One data seed (n = 1): no interval." in text and "stopped" not in text
    assert "chance" not in text and not any("chance" in label for label in labels_of_legends(sheet))
    assert table["low"].isna().all() and not table["carried"].any()
    assert not any(drawn.runs(ax) or ax.collections for ax in sheet.axes)
    # The input does not set the scale of differences.
    left_out = {style.layer_styles(frames.LAYERS["mlp"])["input"]["color"]} if name in DIFFERENCES else set()
    lines = [line for ax in sheet.axes for line in ax.lines if line.get_linewidth() > 0.6]
    lines = [line for line in lines if line.get_color() not in left_out]
    assert sum(len(line.get_xdata()) > 2 for line in lines) > 1 and not drawn.overlaps(sheet)
    for line in lines:
        low, high = line.axes.get_ylim()
        assert all(low < y < high for y in line.get_ydata())


# --- what a reader chooses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_levels_leave_out_the_others(results, sheet_of, name):
    whole = sheet_of(name).table
    sheet, table = drawn.draw(name, results, levels=[0.6])
    assert {drawn.title(ax) for ax in sheet.axes} - {""} == {"level 0.6"}
    same(table, whole[whole["level"] == 0.6])
    with pytest.raises(ValueError, match=r"no level 0.5; there are 0.0, 0.6"):
        figures.draw(name, results, levels=[0.6, 0.5])


@pytest.mark.parametrize("name", ["fig1", "fig5", "fig6", "fig14"])
def test_layers_leave_out_the_others_and_keep_their_colours(results, sheet_of, name):
    """A model without the layer has no panels: those would say nothing of it."""
    model, layer = ("resnet18", "layer2") if name == "fig14" else ("mlp", "fc2")
    whole = sheet_of(name).table
    sheet, table = drawn.draw(name, results, layers=[layer])
    same(table, whole[(whole["model"] == model) & ((whole["layer"] == layer) | whole["layer"].isna())])
    assert [heading.split(", ")[1] for heading in drawn.blocks(sheet)] == [model]
    colours = {layer: look["color"] for layer, look in style.layer_styles(frames.LAYERS[model]).items()}
    shown = {line.get_color() for ax in sheet.axes for line in ax.lines}
    assert shown & set(colours.values()) == {colours[layer]}
    beside = [labels for title, labels in drawn.legends(sheet) if title]
    assert beside and all(labels == [layer] for labels in beside)


@pytest.mark.parametrize("name", ["fig1", "fig3", "fig6", "fig9", "fig14"])
def test_unknown_layers_are_refused(results, name):
    with pytest.raises(ValueError, match="no layer 'fc9'; there are "):
        figures.draw(name, results, layers=["fc9"])


@pytest.mark.parametrize("name", ["fig12", "fig13"])
def test_figures_without_layers_refuse_them(results, name):
    with pytest.raises(ValueError, match="no lines or panels of single layers; leave 'layers' out"):
        figures.draw(name, results, layers=["fc1"])


@pytest.mark.parametrize(
    ("name", "line", "own"),
    [
        ("fig1", "fc2", style.layer_styles(frames.LAYERS["mlp"])["fc2"]["color"]),
        ("fig5", "fc2", style.layer_styles(frames.LAYERS["mlp"])["fc2"]["color"]),
        ("fig6", "class means, zero bias", style.series_style(4)["color"]),
        ("fig6", "fc2", style.layer_styles(frames.LAYERS["mlp"])["fc2"]["color"]),
        ("fig9", "epoch 3", style.series_style(1)["color"]),
        ("fig12", "training, true labels, after the epoch", style.series_style(0)["color"]),
        ("fig13", "probe", style.series_style(0)["color"]),
        ("fig14", "layer2", style.layer_styles(frames.LAYERS["resnet18"])["layer2"]["color"]),
    ],
)
def test_a_colour_changes_one_line(results, sheet_of, name, line, own):
    """All that had the colour of the line, its entry in the legend included, has the reader's; all else its own."""

    def colours(sheet):
        legends = [ax.get_legend() for page in sheet.pages for ax in page.axes] + [
            legend for page in sheet.pages for legend in page.legends
        ]
        handles = [handle for legend in legends if legend is not None for handle in legend.get_lines()]
        return [found.get_color() for ax in sheet.axes for found in ax.lines], [h.get_color() for h in handles]

    sheet, table = drawn.draw(name, results, colours={line: "#123456"})
    for before, after in zip(colours(sheet_of(name)), colours(sheet), strict=True):
        assert own in before and "#123456" not in before
        assert after == ["#123456" if colour == own else colour for colour in before]
    pd.testing.assert_frame_equal(table, sheet_of(name).table)
    with pytest.raises(ValueError, match=f"no line 'fc9'; there are .*{line}"):
        figures.draw(name, results, colours={line: "red", "fc9": "red"})


# --- their layout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_pages_letters_and_fonts(sheet_of, name):
    """Pages fit paper, nothing on them overlaps, letters are in order, and one size of letters can be read."""
    sheet = sheet_of(name)
    assert all((page.get_size_inches() <= np.add([7.0, 9.0], 1e-9)).all() for page in sheet.pages)
    assert drawn.overlaps(sheet) == []
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"a{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    assert [drawn.letter(ax) for ax in sheet.axes] == letters[: len(sheet.axes)]
    assert {text.get_fontsize() for text in sheet.findobj(lambda a: hasattr(a, "get_fontsize"))} == {7.0}


@pytest.mark.parametrize("name", ["fig1", "fig5", "fig6", "fig9", "fig12", "fig13", "fig14"])
def test_many_levels_go_on_in_further_rows_and_nothing_overlaps(name):
    levels = [k / 8 for k in range(8)]
    pairs = [("tiny-imagenet", "mlp"), ("tiny-imagenet", "mlp-dropout")]
    options = {"noises": ("ketha2026",), "levels": levels, "data_seeds": range(2), "schedule": (0, 1, 3)}
    sheet, _ = drawn.draw(name, frames.results(pairs, edit_epochs=(1,), edit_layers=("fc1",), **options))
    shown = [f"level {level:g}" for level in levels]
    for heading, rows in drawn.blocks(sheet).items():
        assert "tiny-imagenet, mlp" in heading and "ketha2026 noise" in heading
        # Panels of further measures, below those with titles, have the columns of these.
        titled = [row for row in rows if drawn.title(row[0])]
        assert [drawn.title(ax) for row in titled for ax in row] == shown
        assert [len(row) for row in titled] == [6, 2] and len(rows) % 2 == 0
        measures = len(rows) // 2
        assert [len(row) for row in rows] == [6] * measures + [2] * measures
        assert all(drawn.heading(row[0]) == heading for row in titled)
    for page in sheet.pages:
        assert drawn.heading(next(ax for ax in page.axes if ax in sheet.axes))
    assert drawn.overlaps(sheet) == []


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
    assert all(a["linestyle"] != b["linestyle"] for a, b in pairwise(looks))


# --- files ----------------------------------------------------------------------------------------


def test_save_writes_equal_bytes_the_numbers_and_the_caption(results, tmp_path):
    for folder in ("a", "b"):
        drawing = figures.draw("fig3", results)
        figures.save(drawing, tmp_path / folder / "fig3")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["fig3.csv", "fig3.md", "fig3.parquet", "fig3.pdf", "fig3.png", "fig3.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    table, stored = drawing.table, pq.read_table(tmp_path / "a" / "fig3.parquet").to_pandas()
    for numbers in (stored, pd.read_csv(tmp_path / "a/fig3.csv")):
        assert list(numbers.columns) == list(table.columns)
        np.testing.assert_array_equal(numbers["mean"], table["mean"])
        assert list(numbers["layer"]) == list(table["layer"])
    caption = (tmp_path / "a/fig3.md").read_text()
    assert caption == drawing.markdown() and caption.startswith("# Figure 3. VeLPIC minus MASC\n\n")


def test_a_note_stands_over_each_page_and_first_in_the_caption(results, tmp_path):
    drawing, other = (figures.draw(name, results) for name in ("fig1", "fig5"))
    drawing = replace(drawing, pages=drawing.pages + other.pages)
    figures.save(drawing, tmp_path / "fig1", "Two runs are missing.")
    for page in drawing.pages:
        note = next(text for text in page.texts if text.get_text() == "Two runs are missing.")
        box = note.get_window_extent()
        assert box.y1 <= page.bbox.y1 and box.x0 >= 0
        below = max(ax.get_tightbbox().y1 for ax in page.axes)
        assert box.y0 >= below - 1
    assert drawn.overlaps(drawn.Sheet(drawing)) == []
    caption = (tmp_path / "fig1.md").read_text()
    assert caption.startswith("# Figure 1. MASC over training\n\n**Two runs are missing.**\n\n")


def test_pictures_hold_four_pages_below_one_another_and_the_pdf_all(results, tmp_path):
    drawing = figures.draw("fig1", results, levels=[0.6])
    (page,) = drawing.pages
    odd = [Figure(figsize=(page.get_figwidth(), height)) for height in (2.35, 0.5)]
    for other in odd:
        FigureCanvasAgg(other)
    drawing = replace(drawing, pages=[page, *odd, page, page])
    figures.save(drawing, tmp_path / "fig1")
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / "fig1.pdf").read_bytes())) == 5
    sizes = np.array([page.get_size_inches() for page in drawing.pages[:4]])
    png = (tmp_path / "fig1.png").read_bytes()
    width, height = np.frombuffer(png[16:24], ">u4")
    assert width == pytest.approx(200 * sizes[:, 0].max(), abs=1)
    assert height == pytest.approx(200 * sizes[:, 1].sum(), abs=4)
    svg = ElementTree.parse(tmp_path / "fig1.svg").getroot()
    inner = svg.findall("{http://www.w3.org/2000/svg}svg")
    assert [float(page.get("y")) for page in inner] == pytest.approx([0, *np.cumsum(72 * sizes[:-1, 1])], abs=0.01)
    assert [float(page.get("width")) for page in inner] == pytest.approx(72 * sizes[:, 0], abs=0.01)
    assert float(svg.get("height").removesuffix("pt")) == pytest.approx(72 * sizes[:, 1].sum(), abs=0.01)
    assert "The picture shows pages 1 to 4 of 5; the PDF has all." in (tmp_path / "fig1.md").read_text()


def test_the_user_s_own_matplotlib_settings_change_nothing(results, tmp_path):
    """Those that people have: a dark style, a grid, tight boxes, other fonts, sizes, colours and lines."""
    own = {"savefig.bbox": "tight", "axes.grid": True, "lines.linewidth": 4, "font.family": "serif", "font.size": 20}
    own |= {"axes.facecolor": "black", "figure.facecolor": "black", "text.color": "white", "legend.frameon": True}
    own |= {"figure.constrained_layout.use": True, "axes.formatter.use_locale": True, "path.simplify": False}
    own |= {"savefig.transparent": True, "image.cmap": "jet", "lines.markersize": 12, "svg.fonttype": "none"}
    for name, settings in (("plain", {}), ("own", own)):
        with mpl.rc_context(settings):
            before = dict(mpl.rcParams)
            figures.save(figures.draw("fig1", results), tmp_path / name)
            assert dict(mpl.rcParams) == before
    for suffix in ("pdf", "png", "svg"):
        assert (tmp_path / f"plain.{suffix}").read_bytes() == (tmp_path / f"own.{suffix}").read_bytes()


@pytest.mark.parametrize("name", OVER_EPOCHS)
def test_tables_have_a_type_in_every_column(sheet_of, name):
    """A column that is null throughout would otherwise lose its type in the file."""
    arrow = pa.Table.from_pandas(sheet_of(name).table, preserve_index=False)
    assert pa.null() not in arrow.schema.types
    types = {"level": "double", "depth": "int64", "epoch": "int64", "n": "int64", "carried": "bool", "mean": "double"}
    assert {column: str(arrow.schema.field(column).type) for column in types} == types


def test_saved_files_embed_truetype_and_no_date(results, tmp_path):
    drawing = figures.draw("fig1", results)
    figures.save(drawing, tmp_path / "fig1")
    pdf = (tmp_path / "fig1.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    png = (tmp_path / "fig1.png").read_bytes()
    size = np.frombuffer(png[16:24], ">u4")
    (page,) = drawing.pages
    np.testing.assert_allclose(size, page.get_size_inches() * 200, atol=1)
    assert not re.search(r"<dc:date>", (tmp_path / "fig1.svg").read_text())
