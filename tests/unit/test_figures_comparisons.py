"""Figures 13 and 14."""

import drawn
import frames
import numpy as np
import pytest
from drawn import chosen, expected, stated

from latentgen import figures
from latentgen.figures import style
from latentgen.figures.results import Results

pytestmark = pytest.mark.slow


def with_probes(results, probes):
    return Results.of(
        {"probes": probes, "history": results.history},
        **{"settings": results.settings, "models": results.models, "chance": results.chance},
    )


def percent(rows):
    return dict(zip(rows["epoch"], 100 * rows["mean"], strict=True))


# --- dropout --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dropout():
    pairs = [("mnist", name) for name in ("mlp", "mlp-dropout", "cnn", "cnn-dropout")]
    return frames.results(pairs, levels=(0.2, 0.6), data_seeds=range(3), schedule=(0, 1, 5, 20, 40))


def test_both_models_and_one_probe_are_drawn(dropout):
    fig, table = figures.draw("fig13", dropout)
    assert list(dict.fromkeys(table["pair"])) == ["mlp / mlp-dropout", "cnn / cnn-dropout"]
    for model, rate in (("mlp", 0.0), ("mlp-dropout", 0.2)):
        columns = {"model": model, "level": 0.6}
        probe = chosen(table, **columns)["series"].replace("model", np.nan).dropna().unique().item()
        rows = chosen(dropout.probes, **columns, probe=probe, layer="fc4")
        assert stated(table, 20, **columns, series=probe, dropout=rate) == pytest.approx(expected(rows, 20))
        own = chosen(dropout.history, **columns, split="test")
        assert stated(table, 20, **columns, series="model") == pytest.approx(expected(own, 20))
        ax = drawn.panel(fig, 0.6)
        for series, colour in (("model", "black"), (probe, style.series_style(0)["color"])):
            lines = drawn.points(ax, color=colour, linestyle="--" if rate else "-")
            assert lines == pytest.approx(percent(chosen(table, **columns, series=series)))
    assert chosen(table, dropout=0.2)["model"].unique().tolist() == ["mlp-dropout", "cnn-dropout"]


def test_the_probe_is_the_best_on_the_last_layer_at_the_end(dropout):
    """Slow and apart: each run's last value, mean over runs of a level, over levels, over both models."""
    _, table = figures.draw("fig13", dropout)
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
    _, table = figures.draw("fig13", with_probes(dropout, probes))
    assert not {"masc-true", "masc-example", "velpic"} & set(table["series"])


def test_the_rows_name_the_rate_and_the_probe(dropout):
    probes = chosen(dropout.probes, probe="velpic")
    fig, _ = figures.draw("fig13", with_probes(dropout, probes))
    below = ("", ["network", "without dropout", "with dropout"])
    assert drawn.legends(fig) == [("dropout 0.2", ["VeLPIC, fc4"]), ("dropout 0.2", ["VeLPIC, fc2"]), below]


def test_missing_partners_and_probes_are_named(dropout):
    with pytest.raises(ValueError, match="both models of a pair .* key 'grid'"):
        figures.draw("fig13", with_probes(dropout, dropout.probes[~dropout.probes["model"].str.contains("dropout")]))
    with pytest.raises(ValueError, match="of the models mlp, mlp-dropout .* key 'probes'"):
        figures.draw("fig13", with_probes(dropout, chosen(dropout.probes, fit_labels="true")))


# --- batch normalisation --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modes():
    pairs = [("cifar10", "resnet18"), ("cifar10", "mlp")]
    return frames.results(pairs, levels=(0.2, 0.6), data_seeds=range(3), schedule=(0, 1, 5, 20))


def test_both_modes_and_their_paired_difference_are_drawn(modes):
    fig, table = figures.draw("fig14", modes)
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
    upper, lower = drawn.panel(fig, 0.6), drawn.panel(fig, 0.6, row=1)
    for layer, look in looks.items():
        for ax, series, line in [
            (upper, "masc", "-"),
            (upper, "masc-example", "--"),
            (lower, "masc-example - masc", "-"),
        ]:
            rows = chosen(table, **cell, layer=layer, series=series)
            assert drawn.points(ax, color=look["color"], linestyle=line) == pytest.approx(percent(rows))


def test_models_without_batch_norm_are_left_out(modes):
    _, table = figures.draw("fig14", modes)
    assert set(table["model"]) == {"resnet18"}
    only = chosen(modes.probes, model="mlp")
    _, table = figures.draw("fig14", with_probes(modes, only))
    assert set(table["model"]) == {"mlp"} and (chosen(table, series="masc-example - masc")["mean"] == 0).all()
