"""Figure 12."""

import drawn
import frames
import pytest
from drawn import chosen, expected, stated

from latentgen import figures
from latentgen.figures.results import Results

CELL = {"model": "mlp", "level": 0.6}
LINES = [
    ("train", "given", "running", "#de8f05"),
    ("train", "true", "evaluated", "#0173b2"),
    ("test", "true", "evaluated", "black"),
]


@pytest.fixture(scope="module")
def results():
    return frames.results([("digits", "mlp")], levels=(0.0, 0.6), schedule=(0, 1, 2, 5, 10, 20, 40))


def test_lines_are_means_over_seeds_and_drawn_as_the_table_has_them(results):
    fig, table = figures.draw("fig12", results)
    ax = drawn.panel(fig, 0.6)
    for split, labels, mode, colour in LINES:
        columns = {**CELL, "split": split, "labels": labels, "mode": mode}
        for epoch in (1, 20, 40):
            assert stated(table, epoch, **columns) == pytest.approx(expected(chosen(results.history, **columns), epoch))
        rows = chosen(table, **columns)
        lines = [line for line in ax.lines if line.get_color() == colour and line.get_linestyle() != "None"]
        points = {x: y for line in lines for x, y in line.get_xydata()}
        assert points == pytest.approx(dict(zip(rows["epoch"], 100 * rows["mean"], strict=True)))
    assert len(table.drop_duplicates(["split", "labels", "mode"])) == 4


def test_evaluated_training_accuracy_has_a_mark_at_every_saved_epoch(results):
    fig, table = figures.draw("fig12", results)
    dots = [line for line in drawn.panel(fig, 0.6).lines if line.get_marker() == "o"]
    marked = {line.get_xdata()[k] for line in dots for k in line.get_markevery()}
    rows = chosen(table, **CELL, split="train", labels="given", mode="evaluated")
    assert marked == set(rows["epoch"]) == {0, 1, 2, 5, 10, 20, 40}


def test_stops_are_marked_at_the_epochs_at_which_runs_stopped(results):
    fig, _ = figures.draw("fig12", results)
    test = chosen(results.history, **CELL, split="test")
    ends = set(test.groupby("data_seed")["epoch"].max())
    triangles = [line for line in drawn.panel(fig, 0.6).lines if line.get_marker() == "v"]
    assert set(triangles[0].get_xdata()) == ends - {max(ends)} != set()


def test_a_missing_accuracy_is_named(results):
    history = results.history[results.history["mode"] == "evaluated"]
    with pytest.raises(ValueError, match="no train accuracy of these models .labels 'given', mode 'running'"):
        figures.draw("fig12", Results.of({"history": history}))
