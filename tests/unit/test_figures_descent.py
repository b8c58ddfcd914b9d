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
from latentgen.figures.page import style
from latentgen.numbers.models import sweeps
from latentgen.numbers.results import Results
from latentgen.summary.descent import dips, sweep_accuracies

pytestmark = pytest.mark.slow

PANELS = [
    ("test_best", "test_last"),
    ("train_last",),
    ("radius_best", "radius_last"),
    ("dimension_best", "dimension_last"),
]
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


def drawn_lines(sheet):
    """Panels with their curves: list of arrays (points, 2), those of rings, runs and vertical lines left out."""
    found = []
    for ax in sheet.axes:
        lines = [line for line in drawn.lines(ax) if line.get_linestyle() != "None"]
        found.append([line.get_xydata() for line in lines if len(line.get_xdata()) > 2])
    return found


def rings(ax):
    return [line for line in ax.lines if line.get_linestyle() == "None" and len(line.get_xdata())]


def verticals(sheet):
    return [sorted({line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2}) for ax in sheet.axes]


def labels(sheet):
    return [label for _, texts in drawn.legends(sheet) for label in texts]


@pytest.fixture(scope="module")
def dipping():
    results = synthetic()
    return results, *drawn.draw("fig25", results)


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
    _, sheet, table = dipping
    for ax, lines, measures, scale in zip(sheet.axes, drawn_lines(sheet), PANELS, (100, 100, 1, 1), strict=True):
        for line, measure in zip(lines, measures, strict=True):
            rows = chosen(table, measure=measure)
            np.testing.assert_allclose(line[:, 0], sorted(75 * width + 10 for width in WIDTHS))
            np.testing.assert_allclose(line[:, 1], scale * rows["mean"])
            bands = [path.vertices for band in ax.collections for path in band.get_paths()]
            ends = {tuple(np.round(point, 6)) for band in bands for point in band}
            for end in ("low", "high"):
                assert {tuple(np.round(p, 6)) for p in zip(rows["parameters"], scale * rows[end], strict=True)} <= ends
    assert all(ax.get_xscale() == "log" for ax in sheet.axes)
    assert [ax.get_yscale() for ax in sheet.axes] == ["linear", "linear", "log", "linear"]
    names = ["test accuracy (%)", "training\naccuracy (%)", "radius", "dimension"]
    assert [ax.get_ylabel() for ax in sheet.axes] == names
    assert [ax.get_xlabel() for ax in sheet.axes] == ["", "", "", "trained weights"]


def test_what_is_an_oracle_is_dashed_and_hollow(dipping):
    _, sheet, _ = dipping
    for ax, measures in zip(sheet.axes, PANELS, strict=True):
        curves = [line for line in drawn.lines(ax) if len(line.get_xdata()) == len(WIDTHS)]
        for line, measure in zip(curves, measures, strict=True):
            best = measure.endswith("best")
            assert line.is_dashed() == best and (line.get_markerfacecolor() == "white") == best
            assert (line.get_color() == "black") == (measure.endswith("last") and measure != "train_last")
    assert labels(sheet) == [
        *["at the run's last epoch", "at its best epoch (oracle)"],
        *["training examples, given labels, at the last epoch", "dip"],
        *["as many weights as training examples", "as many as training examples × classes"],
    ]


def test_the_caption_states_what_was_trained_scored_and_chosen(dipping):
    results, sheet, _ = dipping
    classes, points = 10, 20
    for phrase in [
        *["Networks that differ in width alone", "number of their trained weights (logarithmic)"],
        *["Networks are trained on the given (noisy) labels.", "Test accuracy is on test examples (true labels)"],
        *["training accuracy on the given labels", "n = 5 data seeds; bands: 95 % Student t interval over data seeds"],
        *["Best epoch: chosen on test data in each run, among all epochs: an oracle."],
        *["on the last probed layer (fc1)", f"manifolds of {classes} classes, {points} test examples of each"],
        *["best epoch: of those measured", "For each data seed the others choose the three"],
        *["ringed where the mean has it, where accuracy falls and rises and neither interval reaches 0"],
        *["intervals of a dip are approximate", "The theory is one of many classes", "lines are for orientation"],
    ]:
        assert phrase in sheet.caption
    assert "not tested" not in sheet.caption
    few, _ = drawn.draw("fig25", synthetic(seeds=3))
    assert "thin lines: the runs, too few for an interval" in few.caption and "Student t" not in few.caption


def test_a_clear_dip_is_ringed_and_its_depth_in_the_title_and_in_the_table(dipping):
    results, sheet, table = dipping
    of_names = {"mlp-4 to mlp-256": list(results.models)}
    found = dips(sweep_accuracies(results.history, results.layers, of_names)).iloc[0]
    assert found["real"]
    names = ["drop", "drop_low", "drop_high", "rise", "rise_low", "rise_high", "real"]
    assert (table[names] == found[names].to_numpy()).all(axis=None)
    marked = table.dropna(subset="dip").set_index("dip")
    assert marked["model"].to_dict() == {"before": "mlp-8", "bottom": "mlp-32", "after": "mlp-256"}
    assert set(marked["measure"]) == {"test_last"}
    (ring,) = rings(sheet.axes[0])
    assert list(ring.get_xdata()) == [610, 2410, 19210]
    np.testing.assert_allclose(ring.get_ydata(), 100 * marked.loc[["before", "bottom", "after"], "mean"])
    assert not any(rings(ax) for ax in sheet.axes[1:])
    *named, what, depth = drawn.title(sheet.axes[0]).splitlines()
    assert named == ["digits, uniform noise", "level 0.2, n = 5", "mlp-4 to mlp-256"]
    numbers = [
        float(number.replace("\N{MINUS SIGN}", "-")) for number in re.findall(r"[+\N{MINUS SIGN}]?\d+\.\d", depth)
    ]
    halves = [found[f"{name}_high"] - found[name] for name in ("drop", "rise")]
    assert what == "dip, in points:"
    assert numbers == pytest.approx([100 * v for v in (-found["drop"], halves[0], found["rise"], halves[1])], abs=0.05)


def test_what_is_no_dip_is_not_ringed():
    sheet, table = drawn.draw("fig25", synthetic([("digits", "uniform", 0.0, RISING)]))
    assert not table["real"].any() and "no clear dip, in points:" in drawn.title(sheet.axes[0])
    assert not any(rings(ax) for ax in sheet.axes)
    assert "dip" not in labels(sheet)


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_test_no_dip(seeds):
    sheet, table = drawn.draw("fig25", synthetic(seeds=seeds))
    assert table["real"].isna().all() and table["drop"].isna().all()
    assert "dip not tested" in drawn.title(sheet.axes[0]) and "fewer than 3 data seeds" in sheet.caption
    assert "Dip:" not in sheet.caption and not any(rings(ax) for ax in sheet.axes)
    assert ("One data seed (n = 1): no interval." in sheet.caption) == (seeds == 1)
    assert drawn.overlaps(sheet) == []


def test_three_seeds_have_a_dip_without_intervals():
    """With four data seeds on, half an interval is written beside each change."""
    for seeds, count in ((3, 2), (4, 4)):
        sheet, _ = drawn.draw("fig25", synthetic(seeds=seeds))
        depth = drawn.title(sheet.axes[0]).splitlines()[-1]
        assert len(re.findall(r"\d+\.\d", depth)) == count and ("±" in depth) == (seeds == 4)


def test_seeds_that_lack_a_network_test_no_dip():
    results = synthetic(models=sweep(widths=(4, 8, 16)), seeds=3)
    one_each = results.history["model"].map({"mlp-4": 0, "mlp-8": 1, "mlp-16": 2}) == results.history["data_seed"]
    frames = {"history": results.history[one_each], "layers": results.layers}
    table = figures.draw("fig25", Results.of(frames, models=results.models)).table
    assert table["real"].isna().all() and table["drop"].dtype == table["rise_low"].dtype == float
    assert set(table["model"]) == set(results.models)


def test_lines_for_orientation_stand_where_the_sweep_reaches(dipping):
    assert verticals(dipping[1]) == [[1347, 13470]] * 4
    sheet, _ = drawn.draw("fig25", synthetic(models=sweep(widths=(4, 8, 64)), chance=None))
    assert verticals(sheet) == [[1347]] * 4
    assert "as many weights as training examples" in labels(sheet)
    assert not any("training examples ×" in label for label in labels(sheet))
    sheet, _ = drawn.draw("fig25", synthetic(models=sweep(widths=(4, 8, 16)), chance=None))
    assert verticals(sheet) == [[]] * 4 and "orientation" not in sheet.caption


def test_a_sweep_without_geometry_has_two_panels():
    sheet, table = drawn.draw("fig25", synthetic(geometry=False))
    assert set(table["measure"]) == {"test_best", "test_last", "train_last"} and len(sheet.axes) == 2
    assert "Radius (logarithmic)" not in sheet.caption and "many classes" not in sheet.caption
    assert drawn.overlaps(sheet) == []


def test_an_undefined_value_of_one_run_leaves_the_mean_out():
    results = synthetic()
    own = (results.geometry["model"] == "mlp-4") & (results.geometry["metric"] == "radius")
    broken = results.geometry.copy()
    broken.loc[own & (broken["data_seed"] == 2), "value"] = None
    frames = {"history": results.history, "layers": results.layers, "geometry": broken}
    table = figures.draw("fig25", Results.of(frames, models=results.models, chance=results.chance)).table
    assert chosen(table, model="mlp-4", measure="radius_last").empty
    assert len(chosen(table, model="mlp-4", measure="dimension_last")) == 1


def test_each_data_set_noise_level_and_sweep_has_a_column_and_all_fit():
    points = [
        ("digits", "uniform", 0.0, RISING),
        ("digits", "uniform", 0.2, DIPPING),
        ("cifar100", "exclude_true", 0.1, DIPPING),
    ]
    models = sweep() | sweep("cnn", dropout=0.5)
    sheet, table = drawn.draw("fig25", synthetic(points, models, seeds=3))
    columns = list(table[["dataset", "level", "sweep"]].drop_duplicates().itertuples(index=False, name=None))
    cnn, mlp = "cnn-4 to cnn-256", "mlp-4 to mlp-256"
    of_level = [("digits", level, name) for level in (0.0, 0.2) for name in (cnn, mlp)]
    assert columns == [*of_level, ("cifar100", 0.1, cnn), ("cifar100", 0.1, mlp)]
    assert [len(row) for row in drawn.rows(sheet)] == [3] * 8
    named = [drawn.title(ax).splitlines()[:3] for row in drawn.rows(sheet)[::4] for ax in row]
    noises = {"digits": "uniform", "cifar100": "exclude_true"}
    assert named == [
        [f"{dataset}, {noises[dataset]} noise", f"level {level:g}, n = 3", name] for dataset, level, name in columns
    ]
    # Every column has the lines of its own sweep.
    for start in (0, 4):
        for measures, row in zip(PANELS, drawn.rows(sheet)[start : start + 4], strict=True):
            for (dataset, level, name), ax in zip(columns[3 * start // 4 :], row, strict=False):
                rows = chosen(table, dataset=dataset, level=level, sweep=name, measure=measures[0])
                line = next(line for line in drawn.lines(ax) if len(line.get_xdata()) == len(WIDTHS))
                scale = 100 if measures[0].startswith("t") else 1
                np.testing.assert_allclose(line.get_ydata(), scale * rows["mean"])
    assert drawn.overlaps(sheet) == []
    # The sweeps of the next page go on with nothing.
    assert not any(drawn.heading(ax) for ax in sheet.axes)
    for page in sheet.pages:
        width, height = page.get_size_inches()
        assert width <= 7 + 1e-9 and height <= 9 + 1e-9
    assert min(text.get_fontsize() for text in sheet.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7


def test_long_names_beside_one_another_have_room():
    points = [("tiny-imagenet", "exclude_true", level, ends) for level, ends in ((0.1, RISING), (0.25, DIPPING))]
    points.append(("cifar10-jpeg", "exclude_true", 0.25, RISING))
    sheet, _ = drawn.draw("fig25", synthetic(points, noise=0.15))
    assert len(drawn.rows(sheet)[0]) == 3 and "±" in drawn.title(sheet.axes[0])
    assert drawn.overlaps(sheet) == []


def test_a_sweep_of_too_few_models_is_left_out_and_named_where_it_is_all():
    results = synthetic()
    two = results.history["model"].isin(["mlp-4", "mlp-8"])
    for history, message in (
        (results.history[two], "no three models of one sweep .* key 'grid'"),
        (results.history.head(0), "at least three models .* key 'models'"),
    ):
        with pytest.raises(ValueError, match=message):
            figures.draw("fig25", Results.of({"history": history, "layers": results.layers}, models=results.models))


# --- what a reader chooses ------------------------------------------------------------------------


def test_a_reader_chooses_levels():
    points = [("digits", "uniform", 0.0, RISING), ("digits", "uniform", 0.2, DIPPING)]
    results = synthetic(points, seeds=3)
    whole = figures.draw("fig25", results).table
    sheet, table = drawn.draw("fig25", results, levels=[0.2])
    kept = whole[whole["level"] == 0.2].reset_index(drop=True)
    pd.testing.assert_frame_equal(table.reset_index(drop=True), kept)
    assert len(sheet.axes) == 4 and "level 0.2" in drawn.title(sheet.axes[0]) and drawn.overlaps(sheet) == []
    with pytest.raises(ValueError, match=r"no level 0\.3; there are 0\.0, 0\.2"):
        figures.draw("fig25", results, levels=[0.3])


def test_there_are_no_layers_to_choose(dipping):
    with pytest.raises(ValueError, match="no lines or panels of single layers; leave 'layers' out"):
        figures.draw("fig25", dipping[0], layers=["fc1"])


def test_a_reader_chooses_the_colour_of_a_line(dipping):
    results, before, drawn_table = dipping
    sheet, table = drawn.draw("fig25", results, colours={"at its best epoch (oracle)": "red"})
    pd.testing.assert_frame_equal(table, drawn_table)
    own = style.series_style(0)["color"]
    for ax, old in zip(sheet.axes, before.axes, strict=True):
        colours = [line.get_color() for line in old.lines]
        assert [line.get_color() for line in ax.lines] == ["red" if colour == own else colour for colour in colours]
    handles = {line.get_label(): line.get_color() for line in sheet.pages[0].legends[0].get_lines()}
    assert handles["at its best epoch (oracle)"] == "red" and handles["at the run's last epoch"] == "black"
    with pytest.raises(ValueError, match="no line 'fc9'; there are at its best epoch"):
        figures.draw("fig25", results, colours={"fc9": "red"})


# --- which models make a sweep --------------------------------------------------------------------


def test_a_sweep_is_named_by_the_smallest_and_the_largest_that_have_runs(dipping):
    spare = {"mlp-1": {"factory": "mlp", "options": {"widths": [1]}}}
    results, _, drawn_table = dipping
    backwards = dict(reversed((spare | dict(results.models)).items()))
    table = figures.draw("fig25", results.replaced(models=backwards)).table
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
    assert sweeps(models) == [["mlp-4", "mlp-8", "mlp-16"], ["net-1", "net-2", "net-3"]]
    assert sweeps({name: models[name] for name in ("mlp-4", "mlp-8", "deep", "net-1")}) == []
