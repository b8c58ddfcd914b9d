"""Reading what a figure shows, and what it should show."""

import numpy as np
from scipy import stats


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


def footer(fig):
    return " ".join(text.get_text() for text in fig.texts).replace("\xa0", " ")


def panel(fig, level, row=0):
    """Panel of a level in the given row of panels, for figures whose columns are titled at their top."""
    top = next(ax for ax in fig.axes if ax.get_title() == f"corruption {level:g}")
    column = [ax for ax in fig.axes if abs(ax.get_position().x0 - top.get_position().x0) < 1e-6]
    return sorted(column, key=lambda ax: -ax.get_position().y0)[row]


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


def legends(fig):
    """Title and labels of each legend."""
    found = []
    for legend in fig.legends:
        found.append((legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]))
    return found


def overlaps(fig):
    """Pairs of panels, legends and lines of text that overlap, and those that leave the page."""
    things = [(f"panel {i}", ax.get_tightbbox()) for i, ax in enumerate(fig.axes)]
    things += [(text.get_text(), text.get_window_extent()) for text in fig.texts]
    things += [(f"legend {i}", legend.get_window_extent()) for i, legend in enumerate(fig.legends)]
    page = fig.bbox
    found = [(name, "page") for name, box in things if not (box.x0 >= 0 and box.y0 >= 0)]
    found += [(name, "page") for name, box in things if not (box.x1 <= page.x1 and box.y1 <= page.y1)]
    for i, (name, box) in enumerate(things):
        for other, b in things[i + 1 :]:
            # The extents of text lines include room for descenders; half a pixel is not an overlap.
            if min(box.x1, b.x1) - max(box.x0, b.x0) > 0.5 and min(box.y1, b.y1) - max(box.y0, b.y0) > 0.5:
                found.append((name, other))
    return found
