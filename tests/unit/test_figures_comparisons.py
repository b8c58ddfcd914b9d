"""Figures 13 and 14."""

import drawn
import frames
import numpy as np
import pytest
from drawn import chosen, expected, stated

from latentgen import figures
from latentgen.figures.page import style
from latentgen.summary import RUNS

pytestmark = pytest.mark.slow


def percent(rows):
    return dict(zip(rows["epoch"], 100 * rows["mean"], strict=True))


# --- dropout --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dropout():
    pairs = [("mnist", name) for name in ("mlp", "mlp-dropout", "cnn", "cnn-dropout")]
    return frames.results(pairs, levels=(0.2, 0.6), data_seeds=range(3), schedule=(0, 1, 5, 20, 40))


def test_both_models_and_one_probe_are_drawn(dropout):
    sheet, table = drawn.draw("fig13", dropout)
    assert list(dict.fromkeys(table["pair"])) == ["mlp / mlp-dropout", "cnn / cnn-dropout"]
    for model, rate in (("mlp", 0.0), ("mlp-dropout", 0.2)):
        columns = {"model": model, "level": 0.6}
        probe = chosen(table, **columns)["series"].replace("model", np.nan).dropna().unique().item()
        rows = chosen(dropout.probes, **columns, probe=probe, layer="fc4")
        assert stated(table, 20, **columns, series=probe, dropout=rate) == pytest.approx(expected(rows, 20))
        own = chosen(dropout.history, **columns, split="test")
        assert stated(table, 20, **columns, series="model") == pytest.approx(expected(own, 20))
        ax = drawn.panel(sheet, 0.6)
        for series, colour in (("model", "black"), (probe, style.series_style(0)["color"])):
            lines = drawn.points(ax, color=colour, linestyle="--" if rate else "-")
            assert lines == pytest.approx(percent(chosen(table, **columns, series=series)))
    assert chosen(table, dropout=0.2)["model"].unique().tolist() == ["mlp-dropout", "cnn-dropout"]


def test_the_probe_is_the_best_on_the_last_layer_at_the_end(dropout):
    """Slow and apart: each run's last value, mean over runs of a level, over levels, over both models."""
    table = figures.draw("fig13", dropout).table
    for base, last in (("mlp", "fc4"), ("cnn", "fc2")):
        means = {}
        for name, settings in dropout.settings.items():
            if settings["fit_labels"] != "given" or settings["batch_norm"] != "running":
                continue
            of_levels = []
            for model in (base, f"{base}-dropout"):
                for level in (0.2, 0.6):
                    rows = chosen(dropout.probes, model=model, level=level, probe=name, layer=last)
                    ends = [run.sort_values("epoch")["value"].iloc[-1] for _, run in rows.groupby("data_seed")]
                    of_levels.append(np.mean(ends))
            means[name] = np.mean(of_levels)
        best = max(means, key=means.get)
        assert set(chosen(table, pair=f"{base} / {base}-dropout")["series"]) == {"model", best}
    assert set(table["layer"].dropna()) == {"fc4", "fc2"}


def test_a_probe_fitted_on_true_labels_is_never_chosen(dropout):
    probes = dropout.probes.copy()
    probes.loc[probes["probe"].isin(["masc-true", "masc-example"]), "value"] = 1.0
    probes.loc[(probes["probe"] == "velpic") & (probes["model"] == "mlp"), "value"] = 0.99
    probes = probes[(probes["probe"] != "velpic") | (probes["model"] == "mlp")]
    table = figures.draw("fig13", dropout.replaced(probes=probes)).table
    assert not {"masc-true", "masc-example", "velpic"} & set(table["series"])


def test_the_rows_name_the_rate_and_the_probe(dropout):
    probes = chosen(dropout.probes, probe="velpic")
    sheet, _ = drawn.draw("fig13", dropout.replaced(probes=probes))
    assert list(drawn.blocks(sheet)) == [
        "mnist, mlp / mlp-dropout, uniform noise",
        "mnist, cnn / cnn-dropout, uniform noise",
    ]
    below = ("", ["network", "without dropout", "with dropout", "chance"])
    assert drawn.legends(sheet) == [("dropout 0.2", ["VeLPIC, fc4"]), ("dropout 0.2", ["VeLPIC, fc2"]), below]


def test_the_caption_says_how_the_probe_is_chosen(dropout):
    text = drawn.draw("fig13", dropout)[0].caption
    for phrase in [
        "trained with dropout (dashed, hollow) and without (solid, filled)",
        "one probe on their last layer",
        "Dropout is off while accuracies are measured and features are read",
        "fitted on the given (noisy) labels of the training examples",
        "scored on test examples (true labels)",
        "highest mean accuracy at the end over the levels and both models of a row",
        "an oracle choice, made on test data",
    ]:
        assert phrase in text


def test_with_dropout_marks_are_hollow_and_so_are_its_stops(dropout):
    sheet, table = drawn.draw("fig13", dropout)
    ((row,),) = [rows for heading, rows in drawn.blocks(sheet).items() if "cnn" in heading]
    for level, ax in zip((0.2, 0.6), row, strict=True):
        dashed = [line for line in drawn.lines(ax) if line.get_linestyle() == "--"]
        solid = [line for line in drawn.lines(ax) if line.get_linestyle() == "-" and line.get_marker() in ("o", "s")]
        assert {line.get_markerfacecolor() for line in dashed} == {"white"}
        assert solid and all(line.get_markerfacecolor() == line.get_color() for line in solid)
        stops = [line for line in ax.lines if line.get_marker() == "v" and line.get_linestyle() == "None"]
        found = {line.get_markerfacecolor(): set(line.get_xdata()) for line in stops}
        wanted = {}
        for model, colour in (("cnn", "black"), ("cnn-dropout", "white")):
            own = chosen(table, model=model, level=level, series="model")
            if epochs := set(own["epoch"][own["n_measured"].diff(-1) > 0]):
                wanted[colour] = epochs
        assert found == wanted


def test_a_colour_of_the_reader_is_that_of_the_probe_alone(dropout):
    sheet, table = drawn.draw("fig13", dropout, colours={"probe": "red"}, levels=[0.6])
    ax = sheet.axes[0]
    for model, line in (("mlp", "-"), ("mlp-dropout", "--")):
        cell = chosen(table, model=model)
        probe, own = cell[cell["series"] != "model"], cell[cell["series"] == "model"]
        assert drawn.points(ax, color="red", linestyle=line) == pytest.approx(percent(probe))
        assert drawn.points(ax, color="black", linestyle=line) == pytest.approx(percent(own))


def test_missing_partners_and_probes_are_named(dropout):
    dropped = dropout.probes["model"].str.contains("dropout")
    with pytest.raises(ValueError, match="both models of a pair .* key 'grid'"):
        figures.draw("fig13", dropout.replaced(probes=dropout.probes[~dropped]))
    with pytest.raises(ValueError, match="of the models mlp, mlp-dropout .* key 'probes'"):
        figures.draw("fig13", dropout.replaced(probes=chosen(dropout.probes, fit_labels="true")))


# --- batch normalisation --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modes():
    pairs = [("cifar10", "resnet18"), ("cifar10", "mlp")]
    return frames.results(pairs, levels=(0.2, 0.6), data_seeds=range(3), schedule=(0, 1, 5, 20))


def test_both_modes_and_their_paired_difference_are_drawn(modes):
    sheet, table = drawn.draw("fig14", modes)
    cell = {"model": "resnet18", "level": 0.6}
    for layer in ("stem", "avgpool"):
        both = {}
        for probe, mode in (("masc", "running"), ("masc-example", "example")):
            rows = chosen(modes.probes, **cell, layer=layer, probe=probe)
            both[probe] = rows
            of_mode = {**cell, "layer": layer, "series": probe, "batch_norm": mode}
            assert stated(table, 5, **of_mode) == pytest.approx(expected(rows, 5))
        keys = ["data_seed", "model_seed", "epoch"]
        first, second = (both[probe].set_index(keys)["value"] for probe in ("masc-example", "masc"))
        gap = stated(table, 5, **cell, layer=layer, series="masc-example - masc")
        assert gap == pytest.approx(expected((first - second).reset_index(), 5))
    looks = style.layer_styles(frames.LAYERS["resnet18"])
    upper, lower = drawn.panel(sheet, 0.6), drawn.panel(sheet, 0.6, row=1)
    for layer, look in looks.items():
        for ax, series, line in [
            (upper, "masc", "-"),
            (upper, "masc-example", "--"),
            (lower, "masc-example - masc", "-"),
        ]:
            rows = chosen(table, **cell, layer=layer, series=series)
            assert drawn.points(ax, color=look["color"], linestyle=line) == pytest.approx(percent(rows))


def test_models_without_batch_norm_are_left_out(modes):
    table = figures.draw("fig14", modes).table
    assert set(table["model"]) == {"resnet18"}
    only = chosen(modes.probes, model="mlp")
    table = figures.draw("fig14", modes.replaced(probes=only)).table
    assert set(table["model"]) == {"mlp"} and (chosen(table, series="masc-example - masc")["mean"] == 0).all()


def test_the_difference_alone_has_runs_and_both_share_one_legend_of_layers(modes):
    sheet, table = drawn.draw("fig14", modes)
    ((heading, (upper, lower)),) = drawn.blocks(sheet).items()
    assert heading == "cifar10, resnet18, uniform noise"
    assert [ax.get_ylabel() for ax in (*upper, *lower)] == ["test\naccuracy (%)", "", "difference\n(points)", ""]
    colour = style.layer_styles(frames.LAYERS["resnet18"])["layer3"]["color"]
    for level, above, below in zip((0.2, 0.6), upper, lower, strict=True):
        assert not drawn.runs(above)
        gaps = chosen(table, level=level, layer="layer3", series="masc-example - masc")
        found = [list(line.get_ydata()) for line in drawn.runs(below) if line.get_color() == colour]
        assert found == [pytest.approx(list(100 * gaps[column])) for column in RUNS]
        # Where runs stopped stands once, above.
        stops = [line for line in (*above.lines, *below.lines) if line.get_marker() == "v"]
        assert all(line.axes is above for line in stops if line.get_linestyle() == "None")
    assert drawn.legends(sheet) == [
        ("MASC", frames.LAYERS["resnet18"]),
        (
            "",
            [
                "network, running statistics",
                "running statistics",
                "each example's own statistics",
                "chance; no difference",
            ],
        ),
    ]


def test_the_caption_says_how_features_are_read_and_on_what_probes_are_fitted(modes):
    text = drawn.draw("fig14", modes)[0].caption
    for phrase in [
        "uses running statistics, as in evaluation (solid)",
        "those of each example alone, as in training mode at batch size 1 (dashed)",
        "Lower panels: the difference, each example's own minus running, in percentage points",
        "fitted and scored in the same mode",
        "test examples (true labels)",
        "fitted on the given labels of the training examples",
        "Bands or runs are drawn at the differences only",
        "paired within runs",
    ]:
        assert phrase in text
    one = modes.replaced(**{name: chosen(getattr(modes, name), data_seed=0) for name in ("probes", "history")})
    assert "differences only" not in drawn.draw("fig14", one)[0].caption


def test_a_layer_keeps_its_colour_and_both_line_styles(modes):
    sheet, table = drawn.draw("fig14", modes, layers=["layer4"], levels=[0.6])
    colour = style.layer_styles(frames.LAYERS["resnet18"])["layer4"]["color"]
    upper, lower = sheet.axes
    for ax, series, line in [
        (upper, "masc", "-"),
        (upper, "masc-example", "--"),
        (lower, "masc-example - masc", "-"),
    ]:
        assert drawn.points(ax, color=colour, linestyle=line) == pytest.approx(percent(chosen(table, series=series)))
    assert set(table["layer"].dropna()) == {"layer4"} and set(table["level"]) == {0.6}
