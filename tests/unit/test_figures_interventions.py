"""Figures 6-9."""

import drawn
import frames
import pandas as pd
import pytest
from drawn import chosen, expected, stated

from latentgen import figures
from latentgen.figures import style
from latentgen.figures.interventions import _REPLACED
from latentgen.figures.results import Results

pytestmark = pytest.mark.slow

SCORED = {"fig6": ("test", "true"), "fig7": ("train", "given"), "fig8": ("train", "true")}
PAIRS = [("digits", "mlp"), ("digits", "cnn")]
CELL = {"model": "mlp", "level": 0.6}
AXES = {"rows": "axis", "norm": "unit", "mix": 1.0, "bias": "zero"}


def without(results, **frames_):
    """The same results with other tables."""
    names = ("probes", "history", "transfer", "edit")
    return Results.of({name: getattr(results, name) for name in names} | frames_, chance=results.chance)


@pytest.fixture(scope="module")
def results():
    return frames.results(PAIRS, levels=(0.0, 0.6), schedule=(0, 1, 2, 5, 10, 20, 40), edit_epochs=(1, 10))


# --- weight transfer ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCORED)
def test_lines_of_replaced_readouts_are_means_over_seeds(results, name):
    split, labels = SCORED[name]
    _, table = figures.draw(name, results)
    rows = chosen(results.transfer, **CELL, split=split, labels=labels)
    for variant in _REPLACED:
        columns = dict(zip(AXES, variant, strict=True))
        for epoch in (0, 10, 40):
            of_line = chosen(rows, layer="fc4", **columns)
            assert stated(table, epoch, **CELL, layer="fc4", **columns) == pytest.approx(expected(of_line, epoch))
    for layer in ("input", "fc2"):
        of_line = chosen(rows, layer=layer, head="new", **AXES)
        assert stated(table, 10, **CELL, layer=layer, head="new", **AXES) == pytest.approx(expected(of_line, 10))
    own = chosen(results.history, **CELL, split=split, labels=labels, mode="evaluated")
    assert stated(table, 40, **CELL, series="model") == pytest.approx(expected(own, 40))
    assert {(split, labels)} == set(zip(table["split"], table["labels"], strict=True))


def test_every_line_of_weight_transfer_is_drawn_as_the_table_has_it(results):
    fig, table = figures.draw("fig6", results)
    own, new = drawn.panel(fig, 0.6), drawn.panel(fig, 0.6, row=1)
    for turn, (variant, label) in enumerate(_REPLACED.items()):
        rows = chosen(table, **CELL, head="replaced", **dict(zip(AXES, variant, strict=True)))
        assert drawn.points(own, color=style.series_style(turn)["color"]) == pytest.approx(percent(rows)), label
    looks = style.layer_styles(frames.LAYERS["mlp"])
    for layer in frames.LAYERS["mlp"]:
        rows = chosen(table, **CELL, layer=layer, **AXES)
        assert drawn.points(new, color=looks[layer]["color"]) == pytest.approx(percent(rows)), layer
    network = percent(chosen(table, **CELL, series="model"))
    for ax in (own, new):
        assert drawn.points(ax, color="black") == pytest.approx(network)


def percent(rows):
    return dict(zip(rows["epoch"], 100 * rows["mean"], strict=True))


def test_legends_name_every_line_once(results):
    fig, _ = figures.draw("fig7", results)
    own, new = ("own readout\nreplaced", []), "new readout\nput on"
    layers = [(new, frames.LAYERS[model]) for _, model in PAIRS]
    assert drawn.legends(fig) == [own, layers[0], own, layers[1], ("", ["network", *_REPLACED.values()])]


def test_without_new_readouts_a_row_of_panels_is_enough(results):
    transfer = results.transfer
    fig, table = figures.draw("fig8", without(results, transfer=transfer[transfer["head"] == "replaced"]))
    assert len(fig.axes) == len(PAIRS) * 2
    assert [title for title, _ in drawn.legends(fig)] == [""]
    assert "new readout" not in drawn.footer(fig).lower()
    assert "new" not in set(table["head"].dropna())


def test_a_readout_without_bias_keeps_none():
    plain = frames.results(PAIRS[1:], levels=(0.6,), schedule=(0, 1, 5), readout_bias=False, new_heads=False)
    fig, table = figures.draw("fig6", plain)
    shown = table.dropna(subset="rows").drop_duplicates(list(AXES))[list(AXES)]
    assert set(shown.itertuples(index=False, name=None)) == {(*v[:3], "zero") for v in _REPLACED}
    assert "A readout that has no bias keeps none." in drawn.footer(fig)
    (_, labels) = drawn.legends(fig)[-1]
    assert labels == ["network", *(label for v, label in _REPLACED.items() if v[1:] != ("unit", 1.0, "kept"))]
    for turn, variant in enumerate(_REPLACED):
        rows = chosen(table, **dict(zip(AXES, (*variant[:3], "zero"), strict=True)))
        points = drawn.points(fig.axes[0], color=style.series_style(turn)["color"])
        assert points == (pytest.approx(percent(rows)) if variant[1:] != ("unit", 1.0, "kept") else {})


def test_readouts_as_long_as_the_old_one_are_shown_with_their_own_bias_alone(results):
    fig, table = figures.draw("fig6", results)
    assert "keeps none" not in drawn.footer(fig)
    assert set(table["bias"][table["norm"] == "original"]) == {"kept"}
    assert len(chosen(table, **CELL, epoch=10, norm="original", mix=0.5)) == 1


def test_missing_weight_transfer_is_named_with_the_key_that_adds_it(results):
    with pytest.raises(ValueError, match="'train', labels 'given'.*'interventions: transfer'"):
        figures.draw("fig7", without(results, transfer=chosen(results.transfer, split="test")))


# --- edits in mid-training ------------------------------------------------------------------------


def test_continued_trainings_stand_beside_their_controls(results):
    _, table = figures.draw("fig9", results)
    for split, labels, mode in (("test", "true", "evaluated"), ("train", "given", "running")):
        scored = {"split": split, "labels": labels, "mode": mode}
        for start, rows, bias in [(1, "axis", "zero"), (10, "axis", "kept"), (10, "none", "kept")]:
            columns = {**CELL, "edit_epoch": start, "rows": rows, "bias": bias, **scored}
            assert stated(table, 30, **columns) == pytest.approx(expected(chosen(results.edit, **columns), 30))
        own = {**CELL, **scored}
        assert stated(table, 30, series="model", **own) == pytest.approx(expected(chosen(results.history, **own), 30))
    assert set(table["series"]) == {"model", "edit", "control"}
    assert set(chosen(table, series="control")["rows"]) == {"none"}


def test_edits_begin_with_a_ring_at_their_epoch(results):
    fig, table = figures.draw("fig9", results)
    ax = drawn.panel(fig, 0.6)
    rings = {line.get_xdata()[0] for line in ax.lines if line.get_markerfacecolor() == "none"}
    assert rings == {1, 10}
    for turn, start in enumerate((1, 10)):
        columns = {**CELL, "split": "test", "edit_epoch": start, "rows": "none"}
        colour = style.series_style(turn)["color"]
        control = drawn.points(ax, color=colour, linestyle="--", marker="None")
        assert control == pytest.approx(percent(chosen(table, **columns)))
    assert not any(line.get_markerfacecolor() == "none" for line in drawn.panel(fig, 0.6, row=1).lines)


def test_a_run_that_stopped_before_an_edit_has_no_part_in_it(results):
    edit = results.edit[(results.edit["edit_epoch"] < 10) | (results.edit["data_seed"] > 1)]
    fig, table = figures.draw("fig9", without(results, edit=edit))
    assert set(chosen(table, edit_epoch=10)["n"]) == {3} and set(chosen(table, edit_epoch=1)["n"]) == {5}
    assert "A run that stopped before an edit has no part in it." in drawn.footer(fig)
    assert fig.axes[0].get_title() == "corruption 0\nn = 3 to 5"


def test_edits_of_further_layers_have_their_own_panels():
    results = frames.results(PAIRS[:1], levels=(0.6,), schedule=(0, 1, 5), edit_epochs=(1,), edit_layers=("fc1",))
    fig, table = figures.draw("fig9", results)
    labels = [ax.get_ylabel().split("\n") for ax in fig.axes]
    assert [label[-1] for label in labels] == ["test accuracy (%)", "training accuracy (%)"] * 2
    assert {name for label in labels for part in label for name in part.split(", ") if "readout" in name} == {
        "readout on fc1",
        "readout on fc4",
    }
    solid = [drawn.points(ax, color=style.series_style(0)["color"], linestyle="-") for ax in fig.axes[::2]]
    wanted = [percent(chosen(table, split="test", layer=layer, bias="zero")) for layer in ("fc1", "fc4")]
    assert sorted(map(sorted, solid)) == sorted(map(sorted, wanted)) and solid[0] != solid[1]


def test_without_any_edit_reached_the_remedy_is_named(results):
    with pytest.raises(ValueError, match="'interventions: edit: epochs'; name earlier ones"):
        figures.draw("fig9", without(results, edit=results.edit.iloc[:0]))


def test_row_order_of_the_tables_does_not_matter(results):
    shuffled = {name: getattr(results, name).sample(frac=1, random_state=0) for name in ("history", "edit")}
    # The order of models is that of the first row of each.
    first = results.edit.drop_duplicates("model")
    shuffled["edit"] = pd.concat([first, shuffled["edit"].drop(first.index)])
    tables = [figures.draw("fig9", r)[1] for r in (results, without(results, **shuffled))]
    pd.testing.assert_frame_equal(*tables)
