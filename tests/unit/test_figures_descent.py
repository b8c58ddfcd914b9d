"""Figure 25."""

import re
from itertools import product

import drawn
import numpy as np
import pandas as pd
import pytest
from drawn import chosen
from scipy import stats

from latentgen import figures
from latentgen.figures import catalogue
from latentgen.figures.results import Results
from latentgen.summary.descent import dips, sweep_accuracies

pytestmark = pytest.mark.slow

WIDTHS = (4, 8, 16, 32, 64, 128, 256)
EPOCHS = (0, 1, 5, 20, 60)
#: Final accuracy over the widths above, with a dip and without.
DIPPING, RISING = (0.8, 0.86, 0.8, 0.7, 0.76, 0.83, 0.9), (0.7, 0.74, 0.78, 0.82, 0.85, 0.88, 0.9)


def sweep(factory="mlp", widths=WIDTHS, **options):
    """Declared models by name."""
    return {f"{factory}-{width}": {"factory": factory, "options": {"widths": [width], **options}} for width in widths}


def synthetic(
    points=(("digits", "uniform", 0.2, DIPPING),), models=None, seeds=5, chance=0.1, geometry=True, noise=0.01
):
    """Results of ``points`` (data set, noise, level, final accuracies); a network is best at epoch 5."""
    models = sweep() if models is None else models
    rng = np.random.default_rng(2)
    history, manifolds, layers = [], [], []
    for (dataset, kind, level, ends), (name, declared), seed in product(points, models.items(), range(seeds)):
        width = declared["options"]["widths"][-1]
        place = WIDTHS.index(width)
        names = {"dataset": dataset, "model": name, "noise": kind, "level": level}
        names |= {"data_seed": seed, "model_seed": seed, "entry": "x"}
        # Wide networks stop early.
        for epoch in EPOCHS[: 4 if width > 64 else 5]:
            best = 0.9 + 0.01 * place if epoch == 5 else 0.1 + 0.02 * epoch / 60
            end = ends[place] if epoch >= 20 else best
            own = {**names, "epoch": epoch, "metric": "accuracy", "mode": "evaluated"}
            history.append({**own, "split": "test", "labels": "true", "value": end + rng.normal(0, noise), "n": 450})
            given = min(1, 0.6 + 0.1 * place) + rng.normal(0, noise) / 5
            history.append({**own, "split": "train", "labels": "given", "value": given, "n": 1347})
            for depth, layer in enumerate(("fc1", "output"), start=1):
                manifolds += _manifolds({**names, "epoch": epoch, "layer": layer, "depth": depth}, end, rng)
    for dataset, name in product(dict.fromkeys(point[0] for point in points), models):
        width = models[name]["options"]["widths"][-1]
        for depth, (layer, size) in enumerate({"fc1": 65 * width, "output": 10 * width + 10}.items(), start=1):
            layers.append({"dataset": dataset, "model": name, "layer": layer, "depth": depth, "parameters": size})
    frames = {"history": pd.DataFrame(history), "layers": pd.DataFrame(layers)}
    if geometry:
        frames["geometry"] = pd.DataFrame(manifolds)
    return Results.of(frames, models=models, chance={point[0]: chance for point in points} if chance else {})


def _manifolds(names, accuracy, rng):
    for metric, value in (("radius", 2 - accuracy), ("dimension", 20 - 10 * accuracy), ("capacity", accuracy)):
        for view in ("test", "permuted"):
            value = value * np.exp(rng.normal(0, 0.02)) + (view == "permuted") + (names["layer"] == "output")
            more = {"view": view, "kappa": 0.0, "metric": metric, "value": value, "error": None, "spread": None}
            yield {**names, **more, "n": 200, "classes": 10, "points": 20, "unstructured": 0.1, "inputs": ""}


def drawn_lines(fig):
    """Panels with their curves: list of arrays (points, 2), those of rings and vertical lines left out."""
    found = []
    for ax in fig.axes:
        found.append(
            [line.get_xydata() for line in ax.lines if line.get_linestyle() != "None" and len(line.get_xdata()) > 2]
        )
    return found


@pytest.fixture(scope="module")
def dipping():
    results = synthetic()
    return results, *figures.draw("fig25", results)


def test_accuracies_are_means_over_seeds_at_the_best_and_at_the_last_epoch(dipping):
    results, _, table = dipping
    history = results.history
    for width in WIDTHS:
        own = chosen(history, model=f"mlp-{width}", split="test")
        by_seed = own.pivot(index="data_seed", columns="epoch", values="value")
        last = 20 if width > 64 else 60
        given = chosen(history, model=f"mlp-{width}", split="train", epoch=last)["value"]
        for measure, values in (
            ("test_best", by_seed.max(axis=1)),
            ("test_last", by_seed[last]),
            ("train_last", given),
        ):
            row = chosen(table, model=f"mlp-{width}", measure=measure)
            assert len(row) == 1 and row["parameters"].item() == 75 * width + 10
            low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
            np.testing.assert_allclose(row[["mean", "low", "high"]].to_numpy()[0], (values.mean(), low, high))
            epochs = (5, 5) if measure == "test_best" else (last, last)
            assert tuple(row[["first_epoch", "last_epoch"]].to_numpy()[0]) == epochs
            assert row["choice"].item() == ("oracle" if measure == "test_best" else "fixed")
    assert set(table["examples"]) == {1347} and set(table["classes"]) == {10}


def test_geometry_is_that_of_test_examples_on_the_last_probed_layer(dipping):
    results, _, table = dipping
    rows = chosen(results.geometry, model="mlp-16", view="test", layer="fc1", metric="dimension")
    for at, epoch in (("best", 5), ("last", 60)):
        row = chosen(table, model="mlp-16", measure=f"dimension_{at}")
        assert row["mean"].item() == pytest.approx(chosen(rows, epoch=epoch)["value"].mean())
        assert row["layer"].item() == "fc1" and row["first_epoch"].item() == row["last_epoch"].item() == epoch


def test_lines_are_drawn_as_the_table_has_them(dipping):
    _, fig, table = dipping
    panels = [("test_best", "test_last"), ("train_last",), ("radius_best", "radius_last")]
    panels.append(("dimension_best", "dimension_last"))
    for lines, measures, scale in zip(drawn_lines(fig), panels, (100, 100, 1, 1), strict=True):
        for line, measure in zip(lines, measures, strict=True):
            rows = chosen(table, measure=measure)
            np.testing.assert_allclose(line[:, 0], sorted(75 * width + 10 for width in WIDTHS))
            np.testing.assert_allclose(line[:, 1], scale * rows["mean"])
    assert all(ax.get_xscale() == "log" for ax in fig.axes)


def test_a_clear_dip_is_ringed_and_its_depth_in_the_title_and_in_the_table(dipping):
    results, fig, table = dipping
    sweeps = {"mlp-4 to mlp-256": list(results.models)}
    found = dips(sweep_accuracies(results.history, results.layers, sweeps)).iloc[0]
    assert found["real"]
    names = ["drop", "drop_low", "drop_high", "rise", "rise_low", "rise_high", "real"]
    assert (table[names] == found[names].to_numpy()).all(axis=None)
    marked = table.dropna(subset="dip").set_index("dip")
    assert marked["model"].to_dict() == {"before": "mlp-8", "bottom": "mlp-32", "after": "mlp-256"}
    assert set(marked["measure"]) == {"test_last"}
    rings = [line for line in fig.axes[0].lines if line.get_linestyle() == "None"]
    assert [list(ring.get_xdata()) for ring in rings] == [[610, 2410, 19210]]
    np.testing.assert_allclose(rings[0].get_ydata(), 100 * marked.loc[["before", "bottom", "after"], "mean"])
    last = fig.axes[0].get_title().splitlines()[-1]
    numbers = [
        float(number.replace("\N{MINUS SIGN}", "-")) for number in re.findall(r"[+\N{MINUS SIGN}]?\d+\.\d", last)
    ]
    halves = [found[f"{name}_high"] - found[name] for name in ("drop", "rise")]
    assert last.startswith("dip: ")
    assert numbers == pytest.approx([100 * v for v in (-found["drop"], halves[0], found["rise"], halves[1])], abs=0.05)


def test_what_is_no_dip_is_not_ringed():
    fig, table = figures.draw("fig25", synthetic([("digits", "uniform", 0.0, RISING)]))
    assert not table["real"].any() and "no clear dip: " in fig.axes[0].get_title()
    assert all(len(line.get_xdata()) == 0 for line in fig.axes[0].lines if line.get_linestyle() == "None")
    assert "dip" not in drawn.legends(fig)[0][1]


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_test_no_dip(seeds):
    fig, table = figures.draw("fig25", synthetic(seeds=seeds))
    assert table["real"].isna().all() and table["drop"].isna().all()
    assert "dip not tested" in fig.axes[0].get_title() and "fewer than 3 data seeds" in drawn.footer(fig)
    assert drawn.overlaps(fig) == []


def test_seeds_that_lack_a_network_test_no_dip():
    results = synthetic(models=sweep(widths=(4, 8, 16)), seeds=3)
    one_each = results.history["model"].map({"mlp-4": 0, "mlp-8": 1, "mlp-16": 2}) == results.history["data_seed"]
    frames = {"history": results.history[one_each], "layers": results.layers}
    _, table = figures.draw("fig25", Results.of(frames, models=results.models))
    assert table["real"].isna().all() and table["drop"].dtype == table["rise_low"].dtype == float
    assert set(table["model"]) == set(results.models)


def test_lines_for_orientation_stand_where_the_sweep_reaches(dipping):
    def verticals(fig):
        return [sorted({line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2}) for ax in fig.axes]

    assert verticals(dipping[1]) == [[1347, 13470]] * 4
    fig, _ = figures.draw("fig25", synthetic(models=sweep(widths=(4, 8, 64)), chance=None))
    assert verticals(fig) == [[1347]] * 4
    assert sum("training examples ×" in label for label in drawn.legends(fig)[0][1]) == 0


def test_a_sweep_without_geometry_has_two_panels():
    fig, table = figures.draw("fig25", synthetic(geometry=False))
    assert set(table["measure"]) == {"test_best", "test_last", "train_last"} and len(fig.axes) == 2
    assert "Radius" not in drawn.footer(fig) and drawn.overlaps(fig) == []


def test_an_undefined_value_of_one_run_leaves_the_mean_out():
    results = synthetic()
    own = (results.geometry["model"] == "mlp-4") & (results.geometry["metric"] == "radius")
    broken = results.geometry.copy()
    broken.loc[own & (broken["data_seed"] == 2), "value"] = None
    frames = {"history": results.history, "layers": results.layers, "geometry": broken}
    _, table = figures.draw("fig25", Results.of(frames, models=results.models, chance=results.chance))
    assert chosen(table, model="mlp-4", measure="radius_last").empty
    assert len(chosen(table, model="mlp-4", measure="dimension_last")) == 1


def test_each_data_set_noise_level_and_sweep_has_a_column_and_all_fit():
    points = [
        ("digits", "uniform", 0.0, RISING),
        ("digits", "uniform", 0.2, DIPPING),
        ("cifar100", "exclude_true", 0.1, DIPPING),
    ]
    models = sweep() | sweep("cnn", dropout=0.5)
    fig, table = figures.draw("fig25", synthetic(points, models, seeds=3))
    columns = list(table[["dataset", "level", "sweep"]].drop_duplicates().itertuples(index=False, name=None))
    cnn, mlp = "cnn-4 to cnn-256", "mlp-4 to mlp-256"
    of_level = [("digits", level, name) for level in (0.0, 0.2) for name in (cnn, mlp)]
    assert columns == [*of_level, ("cifar100", 0.1, cnn), ("cifar100", 0.1, mlp)]
    assert len(fig.axes) == 6 * 4 and fig.get_size_inches()[0] <= 7
    assert drawn.overlaps(fig) == []


def test_a_sweep_of_too_few_models_is_left_out_and_named_where_it_is_all():
    results = synthetic()
    two = results.history["model"].isin(["mlp-4", "mlp-8"])
    for history, message in (
        (results.history[two], "no three models of one sweep .* key 'grid'"),
        (results.history.head(0), "at least three models .* key 'models'"),
    ):
        with pytest.raises(ValueError, match=message):
            figures.draw("fig25", Results.of({"history": history, "layers": results.layers}, models=results.models))


# --- which models make a sweep --------------------------------------------------------------------


def test_a_sweep_is_named_by_the_smallest_and_the_largest_that_have_runs(dipping):
    spare = {"mlp-1": {"factory": "mlp", "options": {"widths": [1]}}}
    results, _, drawn_table = dipping
    backwards = dict(reversed((spare | dict(results.models)).items()))
    _, table = figures.draw("fig25", results.replaced(models=backwards))
    pd.testing.assert_frame_equal(table, drawn_table)


def test_sweeps_are_of_models_that_differ_in_width_alone():
    models = sweep(widths=(4, 8, 16)) | {
        "deep": {"factory": "mlp", "options": {"widths": [4], "dropout": 0.5}},
        "net-1": {"factory": "resnet18", "options": {"width": 1}},
        "net-2": {"factory": "resnet18", "options": {"width": 2}},
        "net-3": {"factory": "resnet18", "options": {"width": 3}},
        "plain": {"factory": "resnet18", "options": {}},  # how wide is not said
        "two-layers": {"factory": "mlp", "options": {"widths": [4, 4]}},
        "vgg": {"factory": "vgg16", "options": {"width": 4}},
    }
    assert catalogue.sweeps(models) == [["mlp-4", "mlp-8", "mlp-16"], ["net-1", "net-2", "net-3"]]
    assert catalogue.sweeps({name: models[name] for name in ("mlp-4", "mlp-8", "deep", "net-1")}) == []
