"""Published values, and what comes of comparing a grid with them."""

import math

import frames
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from rows import POINT, curve, history_rows, probe_rows

from latentgen import published
from latentgen.published import comparison
from latentgen.published.values import TYPES

pytestmark = pytest.mark.slow

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8)

#: The published values, written out a second time: (data set, model, quantity, probe) → {level: value}.
BY_LEVEL = {
    ("mnist", "mlp", "model_final", None): (97.9, 87.7, 72.8, 52.9, 31.2),
    ("mnist", "mlp", "probe_final_best_layer", "masc"): (97.2, 97.1, 96.0, 93.7, 80.4),
    ("mnist", "mlp", "probe_initial_best_layer", "masc"): (88.0, 87.3, 87.5, 88.3, 85.9),
    ("mnist", "mlp", "epochs_to_fit", None): (52, 168, 150, 140, 130),
    ("cifar10", "mlp", "model_final", None): (53.3, 44.2, 35.9, 27.0, 17.7),
    ("cifar10", "mlp", "probe_final_best_layer", "masc"): (53.0, 50.2, 45.2, 37.8, 24.4),
    ("cifar10", "resnet18", "model_final", None): (80.0, 67.4, 50.5, 34.5, 19.8),
    ("cifar10", "resnet18", "probe_final", "masc"): (70.8, 67.1, 62.0, 57.5, 43.0),
    ("cifar10", "resnet18", "probe_final", "masc-example"): (70.8, 67.1, 62.0, 57.5, 43.0),
}


def only(frame, **columns):
    for name, value in columns.items():
        frame = frame[frame[name].isna() if value is None else frame[name] == value]
    return frame


# --- the facts ------------------------------------------------------------------------------------


def test_facts_are_those_of_the_paper():
    facts = published.facts()
    counted = 0
    for (dataset, model, quantity, probe), values in BY_LEVEL.items():
        found = only(facts, dataset=dataset, model=model, quantity=quantity, probe=probe)
        assert dict(zip(found["level"], found["value"], strict=True)) == dict(zip(LEVELS, values, strict=True))
        counted += len(found)
    assert list(only(facts, model="mlp", quantity="probe_final_best_layer", dataset="mnist")["layer"]) == [
        *("fc3", "fc4", "fc4", "fc3", "fc3")
    ]
    assert set(only(facts, model="resnet18", quantity="probe_final")["layer"]) == {"layer1"}
    run1 = only(facts, probe="velpic", layer="fc4")
    assert list(zip(run1["quantity"], run1["epoch"], run1["value"], strict=True)) == [
        *[("probe_at_epoch", 0, 71.0), ("probe_at_epoch", 1, 77.2), ("probe_at_epoch", 10, 92.7)],
        *[("probe_at_epoch", 100, 90.3), ("probe_best_epoch", 30, 94.7), ("probe_final", 260, 90.1)],
    ]
    assert set(run1["level"]) == {0.6} and set(run1["n_runs"]) == {1}
    stopped = only(facts, quantity="model_best_epoch")
    assert stopped[["level", "epoch", "value"]].values.tolist() == [[0.6, 17, 95.3]]
    pixels = only(facts, layer="input")
    assert pixels[["level", "probe", "value"]].values.tolist() == [
        *[[0.0, "masc", 82.34], [0.0, "velpic", 81.63], [0.6, "masc", 80.27], [0.6, "velpic", 79.36]]
    ]
    assert set(pixels["spread"]) == {0} and pixels["model"].isna().all()
    assert counted + len(run1) + len(stopped) + len(pixels) == len(facts)


def test_facts_are_typed_and_name_what_can_be_compared():
    facts = published.facts()
    assert {name: str(kind) for name, kind in facts.dtypes.items()} == TYPES
    assert set(facts["quantity"]) == set(comparison.QUANTITIES)
    assert set(facts["noise"]) == {"ketha2026"} and set(facts["data_seed"]) == {42}
    assert set(facts["unit"]) == {"percent", "epochs"}
    assert not facts.duplicated([*comparison._WHERE, "quantity", "probe", "layer", "epoch"]).any()
    # Every published value of the paper's tables is printed with the digits that are stated.
    assert all(round(value, digits) == value for value, digits in zip(facts["value"], facts["digits"], strict=True))


# --- our side -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grid():
    """A grid that has some of the published runs, and others that must not be taken for them."""
    options = {"noises": ("ketha2026", "uniform"), "levels": (0.0, 0.6), "data_seeds": (42, 7)}
    pairs = [("mnist", "mlp"), ("cifar10", "resnet18"), ("cifar10-jpeg", "resnet18"), ("mnist", "cnn")]
    probes = ("masc", "velpic", "masc-example")
    schedule = (0, 1, 10, 30, 100)
    made, history = frames.grid(pairs, **options, model_seeds=(0, 1, 2), probes=probes, schedule=schedule)
    # Those runs that reach the end of the schedule have fitted their labels some epochs before.
    running = (history["mode"] == "running") & (history["labels"] == "given") & (history["split"] == "train")
    fitted = running & (history["epoch"] >= 90 + history["model_seed"])
    history.loc[fitted, "value"] = 1.0
    return made, history


def slow(fact, records):
    """{model and seeds: (value, epoch, layer)} of our runs, by loops."""
    runs = {}
    for name, rows in records.items():
        for row in rows:
            where = ["dataset", "model", "noise", "data_seed", "level"]
            if any(row[key] != fact[key] for key in where if not pd.isna(fact[key])):
                continue
            run = runs.setdefault(
                (row["model"], row["data_seed"], row["model_seed"]), {"probe": {}, "own": {}, "fit": {}}
            )
            if name == "probe" and row["probe"] == fact["probe"] and (row["split"], row["labels"]) == ("test", "true"):
                run["probe"][row["epoch"], row["layer"]] = row["value"], row["depth"]
            if name == "own" and row["metric"] == "accuracy":
                kind = row["split"], row["labels"], row["mode"]
                if kind == ("test", "true", "evaluated"):
                    run["own"][row["epoch"]] = row["value"]
                if kind == ("train", "given", "running"):
                    run["fit"][row["epoch"]] = row["value"]
    if not runs:
        return {}
    found = {}
    quantity = fact["quantity"]
    at = {
        key: {"probe_initial_best_layer": 0, "probe_at_epoch": fact["epoch"]}.get(
            quantity, max((epoch for epoch, _ in run["probe"]), default=None)
        )
        for key, run in runs.items()
    }
    best = None
    if quantity.endswith("best_layer"):
        first = next(iter(runs.values()))["probe"]
        layers = [layer for _, layer in sorted({(depth, layer) for (_, layer), (_, depth) in first.items()})]
        means = [np.mean([run["probe"][at[key], layer][0] for key, run in runs.items()]) for layer in layers]
        best = layers[int(np.argmax(means))] if layers else None
    for key, run in runs.items():
        own = run["own"]
        if quantity == "model_final":
            found[key] = own[max(own)], max(own), None
        elif quantity == "model_best_epoch":
            epoch = max(sorted(own), key=own.get)
            found[key] = own[epoch], epoch, None
        elif quantity == "epochs_to_fit":
            epoch = min((epoch for epoch, value in run["fit"].items() if value == 1), default=math.nan)
            found[key] = epoch, epoch, None
        elif quantity == "probe_best_epoch":
            on = {epoch: value for (epoch, layer), (value, _) in run["probe"].items() if layer == fact["layer"]}
            if on:
                epoch = max(sorted(on), key=on.get)
                found[key] = on[epoch], epoch, fact["layer"]
        else:
            layer = best or fact["layer"]
            if (at[key], layer) in run["probe"]:
                found[key] = run["probe"][at[key], layer][0], at[key], layer
    return found


def test_scoreboard_against_loops_over_runs(grid):
    board = published.scoreboard(*grid)
    assert len(board) == len(published.facts())
    pd.testing.assert_frame_equal(board[list(TYPES)], published.facts())
    records = dict(zip(("probe", "own"), (table.to_dict("records") for table in grid), strict=True))
    compared = 0
    for row in board.to_dict("records"):
        ours = slow(row, records)
        assert row["ours_n"] == len(ours)
        if not ours:
            assert row["verdict"] == "not in this grid" and pd.isna(row["ours"]) and pd.isna(row["difference"])
            continue
        scale = 1 if row["unit"] == "epochs" else 100
        values = np.array([scale * value for value, _, _ in ours.values()])
        if np.isnan(values).any():
            assert row["verdict"] == "not reached by every run" and pd.isna(row["ours"])
            continue
        compared += 1
        n, m = len(values), row["n_runs"]
        t = scipy.stats.t.ppf(0.975, n - 1) if n > 1 else math.nan
        spread = values.std(ddof=1) if n > 1 else math.nan
        low, high = values.mean() - t * spread / np.sqrt(n), values.mean() + t * spread / np.sqrt(n)
        np.testing.assert_allclose([row["ours"], row["ours_low"], row["ours_high"]], [values.mean(), low, high])
        assert row["ours_epoch"] == pytest.approx(np.mean([epoch for _, epoch, _ in ours.values()]))
        layers = {layer for _, _, layer in ours.values()}
        assert layers == {None if pd.isna(row["ours_layer"]) else row["ours_layer"]}
        assert row["difference"] == pytest.approx(values.mean() - row["value"])
        if pd.isna(m):
            assert pd.isna(row["difference_low"])
            continue
        half = t * spread * np.sqrt(1 / n + 1 / m)
        wanted = row["difference"] - half, row["difference"] + half
        np.testing.assert_allclose([row["difference_low"], row["difference_high"]], wanted, atol=1e-9)
    # Levels 0 and 0.6 of both models: 4 on pixels, 15 of the MLP, of which epoch 100 may be missing, 6 of the ResNet.
    assert compared >= 20
    assert (board["verdict"] == "not in this grid").sum() >= 30


@pytest.mark.parametrize(
    "other", [{"dataset": "cifar10-jpeg"}, {"noise": "uniform"}, {"data_seed": 0}, {"model": "resnet18-wide"}]
)
def test_other_runs_are_never_taken_for_the_published_ones(grid, other):
    same = [only(table, dataset="cifar10", noise="ketha2026", data_seed=42) for table in grid]
    assert (published.scoreboard(*same)["verdict"] != "not in this grid").sum() == 6
    changed = published.scoreboard(*(table.assign(**other) for table in same))
    assert set(changed["verdict"]) == {"not in this grid"} and set(changed["ours_n"]) == {0}


def test_an_empty_grid_has_nothing(grid):
    board = published.scoreboard(*(table.iloc[:0] for table in grid))
    assert set(board["verdict"]) == {"not in this grid"}
    assert {name: str(kind) for name, kind in board.dtypes.items()} == {
        name: str(kind) for name, kind in published.scoreboard(*grid).dtypes.items()
    }


# --- verdicts -------------------------------------------------------------------------------------


def fact(**columns):
    named = {**POINT, "source": "here", "data_seed": 42, "quantity": "model_final", "unit": "percent", "digits": 1}
    return {**dict.fromkeys(TYPES), **named, "n_runs": 3, **columns}


@pytest.mark.parametrize(
    ("ours", "published_value", "verdict"),
    [
        ([0.8234], {"value": 82.34, "digits": 2, "spread": 0}, comparison.EXACT),
        ([0.8234, 0.8234], {"value": 82.34, "digits": 2, "spread": 0}, comparison.EXACT),
        ([0.8234], {"value": 82.3, "spread": 0}, comparison.EXACT),
        ([0.8235], {"value": 82.34, "digits": 2, "spread": 0}, comparison.NOT_EXACT),
        ([0.8234, 0.8236], {"value": 82.34, "digits": 2, "spread": 0}, comparison.NOT_EXACT),
        ([0.52], {"value": 52.9, "spread": 1.0}, comparison.WITHIN),
        ([0.51], {"value": 52.9, "spread": 1.0}, comparison.BEYOND),
        ([0.51, 0.5, 0.52], {"value": 52.9, "spread": 1.0}, comparison.BEYOND),
        # s = 0.01, n = m = 3: half the width is 4.302653 * 0.01 * sqrt(2 / 3) = 3.513 points.
        ([0.50, 0.51, 0.52], {"value": 54.5}, comparison.OURS),
        ([0.50, 0.51, 0.52], {"value": 54.6}, comparison.NOT_OURS),
        ([0.50, 0.51, 0.52], {"value": 47.5}, comparison.OURS),
        ([0.50, 0.51, 0.52], {"value": 47.4}, comparison.NOT_OURS),
        # A published single run varies more: 4.302653 * 0.01 * sqrt(4 / 3) = 4.968 points.
        ([0.50, 0.51, 0.52], {"value": 55.9, "n_runs": 1}, comparison.OURS),
        ([0.50, 0.51, 0.52], {"value": 56.1, "n_runs": 1}, comparison.NOT_OURS),
        # One run is close or far: there is nothing to judge it by.
        ([0.529], {"value": 52.9}, comparison.ALONE),
        ([0.1], {"value": 52.9}, comparison.ALONE),
        ([], {"value": 52.9}, comparison.MISSING),
    ],
)
def test_verdicts(monkeypatch, ours, published_value, verdict):
    told = pd.DataFrame([fact(**published_value)]).astype(TYPES)
    monkeypatch.setattr(comparison, "facts", lambda: told)
    history = history_rows([(42, seed, 7, value) for seed, value in enumerate(ours)])
    board = published.scoreboard(probe_rows([(42, 0, 7, 0, 0.5)]), history)
    assert list(board["verdict"]) == [verdict]
    assert board["ours_n"].item() == len(ours)


def test_intervals_hold_what_they_say(monkeypatch):
    """Published means drawn like ours lie outside in one case of twenty."""
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(0.5, 0.02, (2000, 3)), rng.normal(0.5, 0.02, (2000, 5)).mean(axis=1)
    outside = 0
    for own, value in zip(ours, theirs, strict=True):
        told = fact(value=100 * value, n_runs=5, digits=9, spread=math.nan)
        history = pd.DataFrame({**POINT, "data_seed": 42, "model_seed": range(3), "epoch": 1, "value": own})
        rows = {"model_final": lambda *_, history=history: history}
        monkeypatch.setattr(comparison, "QUANTITIES", rows)
        outside += comparison._compared(told, history, history)["verdict"] == comparison.NOT_OURS
    # Binomial standard error 0.0049; four of them.
    assert outside / 2000 == pytest.approx(0.05, abs=0.02)


def test_values_of_the_end_are_not_judged_before_the_published_stop(monkeypatch):
    told = pd.DataFrame([fact(value=52.9, stop_accuracy=0.999)]).astype(TYPES)
    monkeypatch.setattr(comparison, "facts", lambda: told)
    running = {"split": "train", "labels": "given", "mode": "running", "metric": "accuracy"}
    ends = history_rows([(42, 0, 7, 0.5), (42, 1, 9, 0.6)])
    for accuracy, verdict in ((0.998, comparison.SHORT), (0.999, comparison.OURS)):
        fits = curve([(42, 0, 6, 0.999), (42, 0, 7, 0.9), (42, 1, 9, accuracy)], **running)
        row = published.scoreboard(probe_rows([]), pd.concat([ends, fits])).iloc[0]
        assert (row["verdict"], row["ours_n"]) == (verdict, 2) and row["ours"] == pytest.approx(55.0)
    of_end = set(published.values.facts().dropna(subset="stop_accuracy")["quantity"])
    assert of_end == {name for name in comparison.QUANTITIES if "final" in name or "best_epoch" in name}


def test_epochs_to_fit_are_counted_while_training_and_by_every_run(monkeypatch):
    told = pd.DataFrame([fact(quantity="epochs_to_fit", value=5, unit="epochs", digits=0)]).astype(TYPES)
    monkeypatch.setattr(comparison, "facts", lambda: told)
    running = {"split": "train", "labels": "given", "mode": "running", "metric": "accuracy"}
    # Run 0 goes on after it has fitted its labels, run 1 ends there.
    rows = [(42, 0, 3, 0.9), (42, 0, 4, 1.0), (42, 0, 5, 1.0), (42, 0, 6, 0.99), (42, 1, 5, 0.9), (42, 1, 8, 1.0)]
    spare = curve([(42, 0, 1, 1.0), (42, 1, 1, 1.0)], **{**running, "mode": "evaluated"})
    history = pd.concat([curve(rows, **running), spare])
    row = published.scoreboard(probe_rows([]), history).iloc[0]
    assert (row["ours"], row["ours_n"], row["difference"]) == (6, 2, 1)
    third = curve([(42, 2, 9, 0.999)], **running)
    row = published.scoreboard(probe_rows([]), pd.concat([history, third])).iloc[0]
    assert (row["verdict"], row["ours_n"]) == ("not reached by every run", 3) and pd.isna(row["ours"])


# --- in words -------------------------------------------------------------------------------------


def test_text_counts_verdicts_and_lists_what_the_grid_has(grid):
    board = published.scoreboard(*grid)
    text = published.scoreboard_text(board)
    assert text.isascii() and max(map(len, text.splitlines())) <= 120
    lines = text.splitlines()
    assert lines[0] == "56 published values"
    counts = {line[5:].strip(): int(line[:5]) for line in lines[1 : lines.index("")]}
    assert counts == board["verdict"].value_counts().to_dict() and sum(counts.values()) == 56
    listed = [line for line in lines[lines.index("") :] if line.startswith(("0 ", "0.6 "))]
    assert len(listed) == (board["verdict"] != "not in this grid").sum()
    assert "cifar10 / mlp (ketha2026): none of 10 values is in this grid" in lines
    (row,) = [row for row in board.to_dict("records") if (row["quantity"], row["level"]) == ("model_best_epoch", 0.6)]
    (line,) = [line for line in lines if "network, best epoch*" in line]
    half = row["ours_high"] - row["ours"]
    assert line.split()[:5] == ["0.6", "network,", "best", "epoch*", "95.3"]
    assert f"(17)   {row['ours']:.1f}+/-{half:.1f} ({row['ours_epoch']:.0f})" in line
    assert line.endswith(row["verdict"])


def test_text_of_a_grid_without_published_runs_says_so(grid):
    text = published.scoreboard_text(published.scoreboard(*(table.iloc[:0] for table in grid)))
    assert "56  not in this grid" in text and "level" not in text
