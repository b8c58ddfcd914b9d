"""What a grid is made of, what its jobs do, and how that is added up and told."""

import copy
import subprocess
import sys

import pytest
import yaml

from latentgen import grid
from latentgen.estimate import counts, work
from latentgen.estimate.text import estimate_text
from latentgen.estimate.totals import estimate, total
from repository import ROOT

SMOKE = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())


def cells(config):
    return grid.load(config).cells


def mlp(**changes):
    """Cells of the first entry of the smoke grid."""
    config = copy.deepcopy(SMOKE)
    config["grid"] = [config["grid"][0] | changes]
    return cells(config)


def measured(loads, seconds=2.0, size=1000.0, device="cpu"):
    """Pilots that found every unit to take the same."""
    pilots = {}
    for load in loads:
        pilot = pilots.setdefault(load["pilot"], {"device": device, "seconds": {"start:light": seconds}, "bytes": {}})
        pilot["bytes"]["data"] = size
        for job in load["jobs"]:
            pilot["seconds"] |= dict.fromkeys(job["seconds"], seconds)
            pilot["bytes"] |= {unit: size for units in job["bytes"].values() for unit in units}
    return pilots


def estimated(mine, threads=1, **found):
    loads = counts.workloads(mine, False)
    return estimate(loads, counts.gathering(mine), measured(loads, **found), threads).to_pandas()


def value(frame, quantity, **names):
    rows = frame[frame["quantity"] == quantity]
    for name, wanted in names.items():
        rows = rows[rows[name] == wanted]
    return rows["value"].sum()


def test_counting_imports_nothing_that_computes():
    code = "import sys; from latentgen.estimate import counts, work; assert not {'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_levels_seeds_and_epochs_share_a_pilot_which_has_the_tasks_of_all():
    training = SMOKE["grid"][0]["training"]
    first = mlp(levels=[0.0, 0.6], data_seeds=["0-1", 2])
    other = mlp(levels=[0.3], training={**training, "epochs": 9}, geometry=None, probes={"masc": None})
    both = counts.pilots([*first, *other], False)
    (plan,) = both.values()
    names = sorted(name for name, _ in plan["tasks"].values())
    assert names == ["embeddings", "geometry", "gradients", "probes", "probes", "rewind", "transfer"]
    slower = mlp(training={**training, "batch_size": 8})
    assert len(counts.pilots([*first, *slower], False)) == 2


def test_cells_with_equal_work_are_counted_together():
    loads = counts.workloads(mlp(levels=[0.0, 0.2, 0.6], data_seeds=["0-1", 2]), False)
    assert sorted((load["cells"], load["runs"], load["checkpoints"]) for load in loads) == [(3, 1, 5), (3, 2, 10)]
    assert all(load["most"] for load in loads)


def test_a_cell_has_the_work_of_its_settings():
    """Two runs, up to six epochs in blocks of four, of which 0, 1, 2 | 4, 6 are kept."""
    (cell,) = mlp(levels=[0.6])
    jobs: dict[str, list] = {}
    for job in work.jobs(cell, True):
        jobs.setdefault(job.rule, []).append(job)
    (train,) = jobs["train"]
    assert train.seconds == {"start:training": 1, "training": 2, "epoch": 12, "saved": 10}
    assert train.bytes["checkpoints"] == {"checkpoint": 10}
    assert train.bytes["records"] == {"records": 2 * 8, "records:first": 2 * 2}
    each = {
        rule: [count for job in mine for unit, count in job.seconds.items() if unit.endswith(":each")]
        for rule, mine in jobs.items()
    }
    for rule in ("fit_probes", "dump_block", "geometry", "gradients", "transfer"):
        assert each[rule] == [6, 4]
    # The first run's five; both runs' five and one drawn anew; a probe for each run.
    assert each["embeddings"] == [5] and each["rewind"] == [12] and each["relabel"] == [2]
    simulated = [
        count for job in jobs["geometry"] for unit, count in job.seconds.items() if unit.endswith(":simulated")
    ]
    assert simulated == [0, 2]
    (edit,) = jobs["edit"]
    # Two epochs of the control and of the edit, each kept at both ends, and a pass to find the axes.
    assert edit.seconds == {"start:analysis": 1, "training": 4, "epoch": 8, "saved": 2 * 4 + 2}
    (labels,) = jobs["draw_labels"]
    assert labels.seconds == {"start:light": 1, "labels": 2}


def test_dumps_are_jobs_where_they_are_asked_for():
    mine = mlp(levels=[0.6])
    with_dumps, without = (counts.jobs(counts.workloads(mine, dump), {}) for dump in (True, False))
    assert with_dumps == without | {"dump_block": 2}


def test_a_total_is_a_sum_of_products_and_misses_nothing():
    assert total({"a": 2, "b": 3}, {"a": 0.5, "b": 10.0, "c": 1.0}) == 31.0
    with pytest.raises(KeyError):
        total({"a": 1}, {"b": 1.0})


def test_estimates_of_levels_add_up():
    one, two, three = (estimated(mlp(levels=levels), threads=2) for levels in ([0.2], [0.4], [0.2, 0.4]))
    rules = set(three["rule"].dropna()) - set(counts.gathering(mlp()))
    assert len(rules) == 10
    for rule in rules:
        for quantity in ("jobs", "seconds", "processor_seconds", "bytes"):
            wanted = value(one, quantity, rule=rule) + value(two, quantity, rule=rule)
            assert value(three, quantity, rule=rule) == pytest.approx(wanted) and wanted > 0
        assert value(three, "longest_seconds", rule=rule) == value(one, "longest_seconds", rule=rule)
    assert value(three, "processor_seconds", rule="train") == 2 * value(three, "seconds", rule="train")
    assert value(three, "bytes", kind="checkpoints") == 1000 * value(three, "checkpoints") == 1000 * 2 * 10
    assert value(three, "gpu_seconds") == 0
    on_gpu = estimated(mlp(levels=[0.2, 0.4]), device="cuda")
    light = {"draw_labels", *counts.gathering(mlp())}
    wanted = on_gpu[(on_gpu["quantity"] == "seconds") & ~on_gpu["rule"].isin(light)]["value"].sum()
    assert value(on_gpu, "gpu_seconds") == wanted > 0


def test_only_trainings_that_cannot_stop_before_are_exact():
    whole = estimated(mlp(training={**SMOKE["grid"][0]["training"], "stop_accuracy": None}))
    bounded = estimated(mlp())
    for frame, counted, timed in ((whole, "exact", "measured"), (bounded, "upper bound", "upper bound")):
        basis = frame[frame["rule"].isna()].set_index("quantity")["basis"]
        assert basis["checkpoints"] == counted and basis["runs"] == basis["bytes"] == "exact"
        of_train = frame[frame["rule"] == "train"]
        assert set(of_train[of_train["kind"] == "checkpoints"]["basis"]) == {counted}
        assert set(of_train[of_train["quantity"] == "seconds"]["basis"]) == {timed}
        assert set(frame[(frame["rule"] == "edit") & (frame["quantity"] == "seconds")]["basis"]) == {"upper bound"}


def test_the_longest_sequence_is_labels_training_analysis_and_what_comes_after():
    frame = estimated(mlp(levels=[0.6], interventions={"edit": {"epochs": [1], "until": 3}}, geometry=None))
    longest = {rule: value(frame, "longest_seconds", rule=rule) for rule in frame["rule"].dropna().unique()}
    analyses = [longest[rule] for rule in ("fit_probes", "gradients", "embeddings", "edit")]
    ends = longest["gather"] + max(longest["headline"], longest["draw_figure"])
    wanted = longest["draw_labels"] + longest["train"] + max(analyses) + ends
    assert value(frame, "chain_seconds") == pytest.approx(wanted)


def test_the_text_names_what_does_not_fit_and_what_to_set():
    frame = estimated(mlp(), seconds=600.0)
    longest = value(frame, "longest_seconds", rule="train") / 60  # 27 units, of ten minutes
    assert longest == 10 * (1 + 2 + 12 + 10)
    fits = estimate_text(frame, {"train": 250, "embeddings": None}, ["a GPU", "a CPU", "a GPU"])
    assert "WARNING" not in fits
    assert "timed on a CPU, a GPU:" in fits
    text = estimate_text(frame, {"train": 249, "embeddings": None}, ["a GPU"])
    assert "a job of train takes about 250 minutes; a cluster stops it after 249." in text
    assert "--set-resources train:runtime=420" in text and "embeddings:runtime" not in text
    assert max(map(len, text.splitlines())) <= 120 and text.isascii()
    for wanted in ("4 runs (exact), 20 checkpoints (upper bound)", "20 kB  upper bound", "0 s of GPUs"):
        assert wanted in text, wanted


def test_time_on_many_slots_is_between_its_bounds():
    frame = estimated(mlp(levels=[0.0, 0.2, 0.4, 0.6]), seconds=3600.0)
    work_hours, chain = value(frame, "seconds") / 3600, value(frame, "chain_seconds") / 3600
    text = estimate_text(frame, {}, [])
    lines = {line.split(":")[0].strip(): line for line in text.splitlines() if "at once:" in line}
    assert lines["1 job  at once"].endswith(f" {work_hours:,.0f} h")
    assert work_hours / 8 > chain > work_hours / 100
    assert lines["8 jobs at once"].endswith(f"{work_hours / 8:.3g} h to {work_hours / 8 + chain * 7 / 8:.3g} h")
    assert lines["100 jobs at once"].endswith(f"{chain:.3g} h to {work_hours / 100 + chain * 0.99:.3g} h")
