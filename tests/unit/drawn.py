"""Reading what a figure shows, and what it should show."""

import re

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.text import Annotation
from scipy import stats

from latentgen import figures
from latentgen.figures.geometry import views
from latentgen.figures.page import style


def chosen(frame, **columns):
    """Rows whose columns have these values."""
    for name, value in columns.items():
        frame = frame[(frame[name] == value).fillna(False).astype(bool)]
    return frame


def expected(rows, epoch):
    """(mean, low, high) at an epoch over data seeds, of rows that hold one curve: SciPy's t interval.

    A run that has stopped by then counts with its last value.
    """
    values = []
    for _, of_seed in rows.groupby("data_seed"):
        runs = [run[run["epoch"] <= epoch].sort_values("epoch") for _, run in of_seed.groupby("model_seed")]
        values.append(np.mean([run["value"].iloc[-1] for run in runs]))
    mean = np.mean(values)
    return (mean, *stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values)))


def stated(table, epoch, **columns):
    """(mean, low, high) that the table behind a figure states at an epoch, in its only row of these values."""
    rows = chosen(table, epoch=epoch, **columns)
    assert len(rows) == 1
    return tuple(rows[["mean", "low", "high"]].to_numpy()[0])


class Sheet:
    """All pages of a figure, as a reader sees them: panels with letters, legends, the caption."""

    def __init__(self, drawing):
        self.drawing, self.pages, self.table = drawing, drawing.pages, drawing.table
        self.caption = drawing.markdown().replace("\xa0", " ")
        self.axes = [ax for page in self.pages for ax in page.axes if ax.get_title(loc="left")]

    def findobj(self, match):
        return [found for page in self.pages for found in page.findobj(match)]


def draw(name, results, **chosen):
    """(sheet, table) of a figure; ``chosen`` : what `latentgen.figures.draw` takes besides."""
    sheet = Sheet(figures.draw(name, results, **chosen))
    return sheet, sheet.table


def laid_out(page):
    """The page with its panels in their places, as they are written."""
    if (engine := page.get_layout_engine()) is not None:
        with style.look():
            engine.execute(page)
    return page


def title(ax):
    """Title of a panel, without its letter."""
    return ax.get_title(loc="left").lstrip("\n").partition(")  ")[2]


def letter(ax):
    return re.match(r"\n*\((\w+)\)", ax.get_title(loc="left"))[1]


def heading(ax):
    """What stands over a panel: the names of a row of panels; empty but over its first."""
    return "\n".join(text.get_text() for text in ax.texts if _is_heading(text))


def rows(sheet):
    """Panels of each row of panels, from the top down."""
    found = []
    for page in sheet.pages:
        panels = [ax for ax in page.axes if ax in sheet.axes]
        starts = sorted({ax.get_subplotspec().rowspan.start for ax in panels})
        found += [[ax for ax in panels if ax.get_subplotspec().rowspan.start == start] for start in starts]
    return found


def blocks(sheet):
    """{heading: rows of panels} of each part of a figure that has a heading of its own."""
    found, name = {}, None
    for row in rows(sheet):
        name = next((heading(ax) for ax in row if heading(ax)), name)
        found.setdefault(name, []).append(row)
    return found


def panel(sheet, level, row=0):
    """Panel of a level in the given row of panels, for figures whose columns are levels titled in their first row."""
    top = next(ax for ax in sheet.axes if title(ax).splitlines()[:1] == [f"level {level:g}"])
    column = top.get_subplotspec().colspan.start
    page = [of_row for of_row in rows(sheet) if of_row[0].figure is top.figure]
    place = next(k for k, of_row in enumerate(page) if top in of_row)
    return next(ax for ax in page[place + row] if ax.get_subplotspec().colspan.start == column)


def lines(ax):
    """Lines of a panel, less those of single runs, of which fewer than four are drawn beside their mean."""
    return [line for line in ax.lines if line.get_label() != "_run"]


def runs(ax):
    """Lines and ticks of single runs."""
    return [line for line in ax.lines if line.get_label() == "_run"]


def points(ax, **properties):
    """{epoch: accuracy in %} of the lines of one panel whose properties, such as color, are those given.

    Triangles, which mark stops, are no part of a line.
    """
    shown = [line for line in lines(ax) if line.get_marker() != "v" or line.get_linestyle() != "None"]
    shown = [line for line in shown if all(getattr(line, f"get_{k}")() == v for k, v in properties.items())]
    return {x: y for line in shown for x, y in line.get_xydata()}


def legends(sheet):
    """(title, labels) of each legend: those beside rows of panels, then the one below each page."""
    found = []
    for page in sheet.pages:
        beside = [ax.get_legend() for ax in page.axes if ax.get_legend() is not None]
        for legend in (*beside, *page.legends):
            found.append((legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]))
    return found


def overlaps(sheet):
    """Pairs of panels, headings and legends that overlap on a page, and those that leave it."""
    found = []
    for page in sheet.pages:
        laid_out(page)
        things = [(letter(ax), ax.get_tightbbox(), ax) for ax in page.axes if ax in sheet.axes]
        # A heading stands in the room that the title of its own panel leaves for it.
        things += [
            (text.get_text(), text.get_window_extent(), ax)
            for ax in page.axes
            for text in ax.texts
            if _is_heading(text)
        ]
        things += [("legend", legend.get_window_extent(), page) for legend in page.legends]
        beside = [ax.get_legend() for ax in page.axes if ax.get_legend() is not None]
        things += [("legend of a row", legend.get_window_extent(), legend) for legend in beside]
        # Half a pixel is not an overlap; a letter's last line may leave a page by that much.
        box = page.bbox
        for i, (name, a, owner) in enumerate(things):
            if a.x0 < box.x0 - 1 or a.y0 < box.y0 - 1 or a.x1 > box.x1 + 1 or a.y1 > box.y1 + 1:
                found.append((name, "page"))
            for other, b, owner_of_other in things[i + 1 :]:
                if owner is owner_of_other:
                    continue
                if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1:
                    found.append((name, other))
    return found


def _is_heading(text):
    return isinstance(text, Annotation)


def assert_one_recoloured(name, results, made, view, other):
    """A reader who colours ``view`` red changes its lines and its entry in the legend, and nothing of ``other``."""

    def colours(sheet):
        return [[to_hex(line.get_color()) for line in (*lines(ax), *runs(ax))] for ax in sheet.axes]

    sheet, table = draw(name, results, colours={view: "red"})
    pd.testing.assert_frame_equal(table, made[1])
    own = to_hex(views.LOOKS[view]["color"])
    before, after = colours(made[0]), colours(sheet)
    assert after == [["#ff0000" if colour == own else colour for colour in of_panel] for of_panel in before]
    assert before != after
    (legend,) = sheet.pages[0].legends
    shown = dict(zip([text.get_text() for text in legend.get_texts()], legend.get_lines(), strict=True))
    assert to_hex(shown[view].get_color()) == "#ff0000"
    assert to_hex(shown[other].get_color()) == to_hex(views.LOOKS[other]["color"])
