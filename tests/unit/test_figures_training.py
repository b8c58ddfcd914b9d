"""Figure 12."""

import drawn
import frames
import pytest
from drawn import chosen, expected, stated

from latentgen import figures
from latentgen.figures.page import style
from latentgen.numbers.results import Results
from latentgen.summary import RUNS

CELL = {"model": "mlp", "level": 0.6}
LINES = [
    ("train", "given", "running", "#de8f05", "-"),
    ("train", "true", "evaluated", "#0173b2", "--"),
    ("test", "true", "evaluated", "black", "--"),
]
SAVED = (0, 1, 2, 5, 10, 20, 40)


@pytest.fixture(scope="module")
def results():
    return frames.results([("digits", "mlp")], levels=(0.0, 0.6), schedule=SAVED)


@pytest.fixture(scope="module")
def sheet(results):
    return drawn.draw("fig12", results)[0]


def test_lines_are_means_over_seeds_and_drawn_as_the_table_has_them(results, sheet):
    table, ax = sheet.table, drawn.panel(sheet, 0.6)
    for split, labels, mode, colour, dashes in LINES:
        columns = {**CELL, "split": split, "labels": labels, "mode": mode}
        for epoch in (1, 20, 40):
            assert stated(table, epoch, **columns) == pytest.approx(expected(chosen(results.history, **columns), epoch))
        rows = chosen(table, **columns)
        points = drawn.points(ax, color=colour, linestyle=dashes)
        assert points == pytest.approx(dict(zip(rows["epoch"], 100 * rows["mean"], strict=True)))
    assert len(table.drop_duplicates(["split", "labels", "mode"])) == 4


def test_evaluated_training_accuracy_has_a_mark_at_every_saved_epoch(sheet):
    """They stand apart: no line joins them, and no band; bars are their intervals."""
    ax = drawn.panel(sheet, 0.6)
    (dots,) = (line for line in ax.lines if line.get_marker() == "o")
    assert dots.get_linestyle() == "None" and dots.get_color() == "#de8f05" and dots.get_markevery() is None
    rows = chosen(sheet.table, **CELL, split="train", labels="given", mode="evaluated")
    assert dict(dots.get_xydata()) == pytest.approx(dict(zip(rows["epoch"], 100 * rows["mean"], strict=True)))
    assert tuple(dots.get_xdata()) == SAVED
    bars = [segment for found in ax.collections if hasattr(found, "get_segments") for segment in found.get_segments()]
    ends = {bar[0][0]: (bar[0][1], bar[1][1]) for bar in bars}
    wanted = zip(rows["epoch"], 100 * rows["low"], 100 * rows["high"], strict=True)
    assert ends == {epoch: pytest.approx((low, high)) for epoch, low, high in wanted}


def test_runs_of_few_seeds_are_thin_lines_and_ticks():
    few = frames.results([("digits", "mlp")], levels=(0.6,), data_seeds=range(2), schedule=SAVED)
    sheet, table = drawn.draw("fig12", few)
    (ax,) = sheet.axes
    for split, labels, mode, marker in [("train", "given", "running", "None"), ("train", "given", "evaluated", "_")]:
        rows = chosen(table, split=split, labels=labels, mode=mode)
        found = [line for line in drawn.runs(ax) if (line.get_color(), line.get_marker()) == ("#de8f05", marker)]
        for line, column in zip(found, RUNS[:2], strict=True):
            assert list(line.get_ydata()) == pytest.approx(list(100 * rows[column]))
    assert not ax.collections
    assert "thin lines and ticks: the runs, too few for an interval" in sheet.caption


def test_stops_are_marked_at_the_epochs_at_which_runs_stopped(results, sheet):
    test = chosen(results.history, **CELL, split="test")
    ends = set(test.groupby("data_seed")["epoch"].max())
    triangles = [line for line in drawn.panel(sheet, 0.6).lines if line.get_marker() == "v"]
    assert set(triangles[0].get_xdata()) == ends - {max(ends)} != set()


def test_the_legend_and_the_caption_say_what_is_counted_when(sheet):
    (below,) = drawn.legends(sheet)
    assert below == (
        "",
        [
            "training, given labels, while training",
            "training, given labels, after the epoch",
            "training, true labels, after the epoch",
            "test, true labels, after the epoch",
            "chance",
        ],
    )
    for phrase in [
        "on training examples against the given (noisy) labels, which they are trained on, and against the true ones",
        "as they are met, before each update",
        "after the epoch, in evaluation mode",
        "training examples at saved epochs only",
        "Test examples are scored against true labels",
        "bands and bars: 95 % Student t interval over data seeds",
        "n = 5 data seeds",
    ]:
        assert phrase in sheet.caption


def test_the_network_is_dotted_as_everywhere(sheet):
    test = [line for line in drawn.panel(sheet, 0.6).lines if line.get_color() == style.NETWORK["color"]]
    assert any(line.get_linewidth() == style.NETWORK["linewidth"] for line in test)
    (reference,) = (line for line in drawn.panel(sheet, 0.6).lines if line.get_color() == style.REFERENCE["color"])
    assert set(reference.get_ydata()) == {10.0}


def test_a_missing_accuracy_is_named(results):
    history = results.history[results.history["mode"] == "evaluated"]
    with pytest.raises(ValueError, match="no train accuracy of these models .labels 'given', mode 'running'"):
        figures.draw("fig12", Results.of({"history": history}))
