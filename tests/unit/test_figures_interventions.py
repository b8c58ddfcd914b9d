"""Figures 6 and 9."""

import drawn
import frames
import pandas as pd
import pytest
from drawn import chosen, expected, stated

from latentgen import figures
from latentgen.figures.page import style

pytestmark = pytest.mark.slow

#: Split and labels of each row of panels of figure 6, with the label of its axis.
SCORED = {
    ("test", "true"): "test\naccuracy (%)",
    ("train", "given"): "training, given\nlabels (%)",
    ("train", "true"): "training, true\nlabels (%)",
}
#: Replaced readouts, by the columns rows, norm, mix and bias of the table of weight transfer.
REPLACED = {
    ("axis", "unit", 1.0, "zero"): "axes, zero bias",
    ("axis", "unit", 1.0, "kept"): "axes, bias kept",
    ("axis", "original", 1.0, "kept"): "axes as long as the old rows, bias kept",
    ("axis", "original", 0.5, "kept"): "halfway to those, bias kept",
    ("mean", "own", 1.0, "zero"): "class means, zero bias",
}
PAIRS = [("digits", "mlp"), ("digits", "cnn")]
CELL = {"model": "mlp", "level": 0.6}
AXES = {"rows": "axis", "norm": "unit", "mix": 1.0, "bias": "zero"}


@pytest.fixture(scope="module")
def results():
    return frames.results(PAIRS, levels=(0.0, 0.6), schedule=(0, 1, 2, 5, 10, 20, 40), edit_epochs=(1, 10))


@pytest.fixture(scope="module")
def transfer(results):
    """Figure 6."""
    return drawn.draw("fig6", results)[0]


@pytest.fixture(scope="module")
def edit(results):
    """Figure 9."""
    return drawn.draw("fig9", results)[0]


def percent(rows):
    return dict(zip(rows["epoch"], 100 * rows["mean"], strict=True))


# --- weight transfer ------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "labels"), SCORED)
def test_lines_of_replaced_readouts_are_means_over_seeds(results, transfer, split, labels):
    table = chosen(transfer.table, split=split, labels=labels)
    rows = chosen(results.transfer, **CELL, split=split, labels=labels)
    for variant in REPLACED:
        columns = dict(zip(AXES, variant, strict=True))
        for epoch in (0, 10, 40):
            of_line = chosen(rows, layer="fc4", **columns)
            assert stated(table, epoch, **CELL, layer="fc4", **columns) == pytest.approx(expected(of_line, epoch))
    for layer in ("input", "fc2"):
        of_line = chosen(rows, layer=layer, head="new", **AXES)
        assert stated(table, 10, **CELL, layer=layer, head="new", **AXES) == pytest.approx(expected(of_line, 10))
    own = chosen(results.history, **CELL, split=split, labels=labels, mode="evaluated")
    assert stated(table, 40, **CELL, series="model") == pytest.approx(expected(own, 40))


def test_the_table_holds_what_each_row_of_panels_shows_one_below_the_other(transfer):
    scored = transfer.table[["split", "labels"]]
    assert list(scored[(scored != scored.shift()).any(axis=1)].itertuples(index=False, name=None)) == list(SCORED)


def test_every_line_of_weight_transfer_is_drawn_as_the_table_has_it(transfer):
    blocks = drawn.blocks(transfer)
    for model in ("mlp", "cnn"):
        own, new = blocks[f"digits, {model}, uniform noise"], blocks[f"digits, {model}, uniform noise, new readouts"]
        looks = style.layer_styles(frames.LAYERS[model])
        for place, (scored, label) in enumerate(SCORED.items()):
            assert own[place][0].get_ylabel() == new[place][0].get_ylabel() == label
            for column, level in enumerate((0.0, 0.6)):
                cell = {"model": model, "level": level, **dict(zip(("split", "labels"), scored, strict=True))}
                rows = chosen(transfer.table, **cell)
                for turn, variant in enumerate(REPLACED):
                    points = drawn.points(own[place][column], color=style.series_style(turn)["color"])
                    of_variant = chosen(rows, head="replaced", **dict(zip(AXES, variant, strict=True)))
                    assert points == pytest.approx(percent(of_variant)) != {}
                # On the last layer, the network's own readout with zero bias is what a new one would be.
                for layer, look in looks.items():
                    points = drawn.points(new[place][column], color=look["color"])
                    assert points == pytest.approx(percent(chosen(rows, layer=layer, **AXES))) != {}
                network = percent(chosen(rows, series="model"))
                for ax in (own[place][column], new[place][column]):
                    assert drawn.points(ax, color="black") == pytest.approx(network)


def test_legends_name_every_line_once(transfer):
    beside = [("new readout on", frames.LAYERS[model]) for _, model in PAIRS]
    below = ("", ["network", *REPLACED.values(), "chance"])
    assert [legend for legend in drawn.legends(transfer) if legend != below] == beside
    assert drawn.legends(transfer).count(below) == len(transfer.pages)


def test_the_caption_says_what_is_put_where_and_scored_on_what(transfer):
    for phrase in [
        "replaced at every saved epoch, without further training",
        "test examples; training examples against the given (noisy) labels",
        "the same against the true labels",
        "Axes: the unit vectors of VeLPIC on the layer that the readout reads",
        "with zero bias the network then classifies as VeLPIC does on that layer",
        "Axes and class means are fitted with the given (noisy) labels of the training examples",
        "New readout: such axes, zero bias, put on that layer, the layers behind it left out",
        "bands: 95 % Student t interval over data seeds",
        "n = 5 data seeds",
    ]:
        assert phrase in transfer.caption


def test_without_new_readouts_a_row_of_panels_is_enough(results):
    sheet, table = drawn.draw("fig6", results.replaced(transfer=chosen(results.transfer, head="replaced")))
    assert [len(rows) for rows in drawn.blocks(sheet).values()] == [3, 3]
    assert {len(row) for row in drawn.rows(sheet)} == {2}
    assert {title for title, _ in drawn.legends(sheet)} == {""}
    assert "new readout" not in sheet.caption.lower()
    assert "new" not in set(table["head"].dropna())


def test_what_was_not_scored_has_no_row_of_panels(results):
    sheet, table = drawn.draw("fig6", results.replaced(transfer=chosen(results.transfer, split="test")), levels=[0.6])
    assert set(zip(table["split"], table["labels"], strict=True)) == {("test", "true")}
    assert [row[0].get_ylabel() for row in drawn.rows(sheet)] == ["test\naccuracy (%)"] * 4


def test_a_readout_without_bias_keeps_none():
    plain = frames.results(PAIRS[1:], levels=(0.6,), schedule=(0, 1, 5), readout_bias=False, new_heads=False)
    sheet, table = drawn.draw("fig6", plain)
    shown = table.dropna(subset="rows").drop_duplicates(list(AXES))[list(AXES)]
    assert set(shown.itertuples(index=False, name=None)) == {(*v[:3], "zero") for v in REPLACED}
    assert "A readout that has no bias keeps none." in sheet.caption
    (_, labels) = drawn.legends(sheet)[-1]
    kept = ("unit", 1.0, "kept")
    assert labels == ["network", *(label for v, label in REPLACED.items() if v[1:] != kept), "chance"]
    for turn, variant in enumerate(REPLACED):
        rows = chosen(table, split="test", **dict(zip(AXES, (*variant[:3], "zero"), strict=True)))
        points = drawn.points(sheet.axes[0], color=style.series_style(turn)["color"])
        assert points == (pytest.approx(percent(rows)) if variant[1:] != kept else {})


def test_readouts_as_long_as_the_old_one_are_shown_with_their_own_bias_alone(transfer):
    assert "keeps none" not in transfer.caption
    table = transfer.table
    assert set(table["bias"][table["norm"] == "original"]) == {"kept"}
    for split, labels in SCORED:
        halfway = {"epoch": 10, "norm": "original", "mix": 0.5, "split": split, "labels": labels}
        assert len(chosen(table, **CELL, **halfway)) == 1


def test_missing_weight_transfer_is_named_with_the_key_that_adds_it(results):
    with pytest.raises(ValueError, match="no accuracy of edited networks.*'interventions: transfer'"):
        figures.draw("fig6", results.replaced(transfer=results.transfer.iloc[:0]))
    only = chosen(results.transfer, rows="none")
    with pytest.raises(ValueError, match="'interventions: transfer'"):
        figures.draw("fig6", results.replaced(transfer=only))


def test_the_last_layer_chosen_alone_leaves_out_new_readouts(results):
    """An inner layer has no readout of its own, and the last one no new one."""
    sheet, table = drawn.draw("fig6", results, layers=["fc4"], levels=[0.6])
    assert list(drawn.blocks(sheet)) == ["digits, mlp, uniform noise"]
    assert set(table["head"].dropna()) == {"replaced"} and set(table["level"]) == {0.6}
    sheet, table = drawn.draw("fig6", results, layers=["fc1"], levels=[0.6])
    assert set(table["head"].dropna()) == {"new"}
    assert drawn.legends(sheet)[-1] == ("", ["network", "chance"])
    assert list(drawn.blocks(sheet)) == [f"digits, {model}, uniform noise, new readouts" for _, model in PAIRS]


# --- edits in mid-training ------------------------------------------------------------------------


def test_continued_trainings_stand_beside_their_controls(results, edit):
    table = edit.table
    for split, labels, mode in (("test", "true", "evaluated"), ("train", "given", "running")):
        scored = {"split": split, "labels": labels, "mode": mode}
        for start, rows, bias in [(1, "axis", "zero"), (10, "axis", "kept"), (10, "none", "kept")]:
            columns = {**CELL, "edit_epoch": start, "rows": rows, "bias": bias, **scored}
            assert stated(table, 30, **columns) == pytest.approx(expected(chosen(results.edit, **columns), 30))
        own = {**CELL, **scored}
        assert stated(table, 30, series="model", **own) == pytest.approx(expected(chosen(results.history, **own), 30))
    assert set(table["series"]) == {"model", "edit", "control"}
    assert set(chosen(table, series="control")["rows"]) == {"none"}


def test_every_continued_training_is_drawn_as_the_table_has_it(edit):
    """Colours are epochs of edits, line styles what was replaced; test accuracy is above training accuracy."""
    kinds = {("axis", "zero"): ("-", True), ("axis", "kept"): ("--", True), ("none", "kept"): ("--", False)}
    for place, split in enumerate(("test", "train")):
        ax = drawn.panel(edit, 0.6, row=place)
        cell = chosen(edit.table, **CELL, split=split)
        for turn, start in enumerate((1, 10)):
            look = style.series_style(turn)
            for (rows, bias), (line, marked) in kinds.items():
                # Rings, which are hollow, are no part of a line.
                shown = {"color": look["color"], "markerfacecolor": look["color"], "linestyle": line}
                points = drawn.points(ax, **shown, marker=look["marker"] if marked else "None")
                assert points == pytest.approx(percent(chosen(cell, edit_epoch=start, rows=rows, bias=bias)))
        assert drawn.points(ax, color="black") == pytest.approx(percent(chosen(cell, series="model")))


def test_edits_begin_with_a_ring_at_their_epoch(edit):
    ax = drawn.panel(edit, 0.6)
    rings = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert {line.get_xdata()[0] for line in rings} == {1, 10}
    for turn, start in enumerate((1, 10)):
        columns = {**CELL, "split": "test", "edit_epoch": start}
        colour = style.series_style(turn)["color"]
        found = sorted(line.get_ydata()[0] for line in rings if line.get_color() == colour)
        assert found == pytest.approx(sorted(100 * chosen(edit.table, epoch=start, rows="axis", **columns)["mean"]))
        control = drawn.points(ax, color=colour, linestyle="--", marker="None")
        assert control == pytest.approx(percent(chosen(edit.table, **columns, rows="none")))
    assert not any(line.get_markerfacecolor() == "none" for line in drawn.panel(edit, 0.6, row=1).lines)


def test_legend_and_caption_of_edits(edit):
    assert drawn.legends(edit) == [
        (
            "",
            [
                "network as trained",
                "continued from epoch 1",
                "continued from epoch 10",
                "axes, zero bias",
                "axes, bias kept",
                "control: fresh optimiser only",
                "chance",
            ],
        )
    ]
    for phrase in [
        "replaced in mid-training (rings) by the axes of VeLPIC, and then trained on with a fresh optimiser state",
        "the control starts the optimiser afresh and replaces nothing",
        "Upper panels: test accuracy after each epoch",
        "Lower panels: training accuracy against the given (noisy) labels, counted while each epoch trained on them",
        "Axes are fitted with the given (noisy) labels of the training examples",
        "Test examples are scored against true labels",
    ]:
        assert phrase in edit.caption


def test_chance_is_drawn_where_test_examples_are_scored(edit):
    for place, values in enumerate(({10.0}, set())):
        lines = [line for line in drawn.panel(edit, 0.6, row=place).lines if line.get_color() == "0.6"]
        assert {y for line in lines for y in line.get_ydata()} == values


def test_a_run_that_stopped_before_an_edit_has_no_part_in_it(results):
    edit = results.edit[(results.edit["edit_epoch"] < 10) | (results.edit["data_seed"] > 1)]
    sheet, table = drawn.draw("fig9", results.replaced(edit=edit))
    assert set(chosen(table, edit_epoch=10)["n"]) == {3} and set(chosen(table, edit_epoch=1)["n"]) == {5}
    assert "A run that stopped before an edit has no part in it." in sheet.caption
    assert drawn.title(sheet.axes[0]) == "level 0\nn = 3 to 5"
    assert drawn.overlaps(sheet) == []


def test_edits_of_further_layers_have_their_own_panels():
    results = frames.results(PAIRS[:1], levels=(0.6,), schedule=(0, 1, 5), edit_epochs=(1,), edit_layers=("fc1",))
    sheet, table = drawn.draw("fig9", results)
    blocks = drawn.blocks(sheet)
    assert set(blocks) == {f"digits, mlp, uniform noise, readout on {layer}" for layer in ("fc1", "fc4")}
    colour = style.series_style(0)["color"]
    control = percent(chosen(table, split="test", rows="none"))
    for layer in ("fc1", "fc4"):
        ((upper,), (lower,)) = blocks[f"digits, mlp, uniform noise, readout on {layer}"]
        assert [upper.get_ylabel(), lower.get_ylabel()] == ["test\naccuracy (%)", "training\naccuracy (%)"]
        solid = percent(chosen(table, split="test", layer=layer, bias="zero"))
        assert drawn.points(upper, color=colour, linestyle="-", markerfacecolor=colour) == pytest.approx(solid)
        # The control, whose readout is the network's own, is compared with the edits of every layer.
        assert drawn.points(upper, color=colour, linestyle="--", marker="None") == pytest.approx(control)
    # So it stays when the other layer alone is asked for.
    sheet, table = drawn.draw("fig9", results, layers=["fc1"])
    ((heading, ((upper,), _)),) = drawn.blocks(sheet).items()
    assert heading == "digits, mlp, uniform noise, readout on fc1"
    assert set(table["layer"][table["rows"] == "axis"]) == {"fc1"} and "control" in set(table["series"])
    assert drawn.points(upper, color=colour, linestyle="--", marker="None") == pytest.approx(control)
    with pytest.raises(ValueError, match="no layer 'fc2'; there are fc1, fc4"):
        figures.draw("fig9", results, layers=["fc1", "fc2"])


def test_models_without_the_layer_have_no_edits_to_show(results, edit):
    sheet, table = drawn.draw("fig9", results, layers=["fc2"], levels=[0.6])
    assert list(drawn.blocks(sheet)) == ["digits, cnn, uniform noise"]
    shown = chosen(edit.table, model="cnn", level=0.6)
    pd.testing.assert_frame_equal(table.reset_index(drop=True), shown.reset_index(drop=True))


def test_an_epoch_keeps_its_colour_and_another_can_have_the_reader_s(results):
    sheet, table = drawn.draw("fig9", results, levels=[0.6], colours={"epoch 10": "red"})
    ax = drawn.panel(sheet, 0.6)
    for start, colour in ((1, style.series_style(0)["color"]), (10, "red")):
        rows = chosen(table, **CELL, split="test", edit_epoch=start, rows="none")
        assert drawn.points(ax, color=colour, linestyle="--", marker="None") == pytest.approx(percent(rows))


def test_without_any_edit_reached_the_remedy_is_named(results):
    with pytest.raises(ValueError, match="'interventions: edit: epochs'; name earlier ones"):
        figures.draw("fig9", results.replaced(edit=results.edit.iloc[:0]))


def test_row_order_of_the_tables_does_not_matter(results, edit):
    shuffled = {name: getattr(results, name).sample(frac=1, random_state=0) for name in ("history", "edit")}
    # The order of models is that of the first row of each.
    first = results.edit.drop_duplicates("model")
    shuffled["edit"] = pd.concat([first, shuffled["edit"].drop(first.index)])
    pd.testing.assert_frame_equal(figures.draw("fig9", results.replaced(**shuffled)).table, edit.table)
