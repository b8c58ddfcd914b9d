"""Jobs that are ended at some of their calls and run again; what looks for faults in them finds some in others."""

import contextlib
import errno
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.robustness import crashes, supervised, trees
from benchmarks.robustness.jobs import Job
from snakemake_calls import robustness

from latentgen.files import atomic
from repository import ROOT

pytestmark = pytest.mark.slow

on_linux = pytest.mark.skipif(supervised.missing() is not None, reason=str(supervised.missing()))


class Written(Job):
    """A job that writes ``results/out.txt`` as ``write`` does."""

    def __init__(self, write):
        given = SimpleNamespace(rule="written", output=["results/out.txt"], log=["results/logs/out.log"])
        super().__init__("written.py", given, ())
        object.__setattr__(self, "run", write)


def whole():
    with atomic("results/out.txt") as path:
        path.write_text("right")


def in_place():
    with open("results/out.txt", "w") as file:
        for part in ("half, ", "whole"):
            file.write(part)
            file.flush()


def continued():
    """Takes what an earlier call has begun, and never looks whether that is whole."""
    kept = Path("results/partial.txt")
    if not kept.exists():
        in_place()
        Path("results/out.txt").replace(kept)
        kept.write_text("half, ")
        kept.write_text("half, whole")
    with atomic("results/out.txt") as path:
        path.write_text(kept.read_text())


def silent():
    try:
        whole()
    except OSError:
        sys.exit(1)


def swallowed():
    with contextlib.suppress(OSError):
        whole()


def faults(tmp_path, write, way):
    """What is wrong at each call of the job, and how many of these leave files behind."""
    (tmp_path / "whole").mkdir()
    trial = crashes.Trial(Written(write), tmp_path / "whole", tmp_path)
    points = [trial.point(way, at) for at in range(1, len(trial.calls) + 1)]
    return [line for wrong, _ in points for line in wrong], sum(bool(left) for _, left in points)


@on_linux
@pytest.mark.parametrize("way", crashes.WAYS)
def test_a_file_that_is_written_beside_and_renamed_is_whole_or_absent(tmp_path, way):
    wrong, _ = faults(tmp_path, whole, way)
    assert wrong == []


@on_linux
@pytest.mark.parametrize(
    "write, way, expected",
    [
        (in_place, "kill", "out.txt is published and not whole"),
        (in_place, "full", "out.txt is published and not whole"),
        (continued, "kill", "out.txt has other bytes"),
        (silent, "full", "it does not say why it failed"),
        (swallowed, "error", "out.txt is absent"),
    ],
)
def test_jobs_with_faults_are_found_out(tmp_path, write, way, expected):
    wrong, _ = faults(tmp_path, write, way)
    assert any(expected in line for line in wrong), wrong


@on_linux
def test_calls_of_native_code_are_seen_and_may_be_refused(tmp_path):
    import torch
    from safetensors.torch import save_file

    def write():
        save_file({"ones": torch.ones(3)}, tmp_path / "folder" / "ones.safetensors")

    (tmp_path / "folder").mkdir()
    ended = supervised.supervised(write, tmp_path / "folder", tmp_path / "said")
    assert ended.status == 0 and {"write", "openat"} <= {call.name for call in ended.calls}
    full = supervised.supervised(write, tmp_path / "folder", tmp_path / "said", supervised.full_from(1))
    assert full.status == 1 and f"os error {errno.ENOSPC}" in full.said


def test_trees_are_compared_by_name_and_bytes():
    wanted = {"a": "1", "b": "2", "c": "3"}
    found = {"a": "1", "b": "4", "d": "5", "x/.y-1/z": "6"}
    assert trees.differences(found, wanted) == ["c is absent", "b has other bytes", "d is spare"]
    assert trees.leftovers(found, wanted) == ["x/.y-1/z"]


def test_points_are_dealt_to_all_kinds_and_drawn_once():
    assert crashes.shares(7, 3) == [3, 2, 2] and crashes.shares(1, 3) == [1, 1, 1]


# ---- on the workflow itself ----


#: Rules whose jobs take a second or less, and between them write in every way that the others do.
QUICK = ["prepare_data", "train", "fit_probes", "gather", "draw_figure"]


def crashed(*arguments):
    """Rules whose jobs a call has tried, which has found no fault."""
    said = robustness("crashes", "--strict", "--ways", *crashes.WAYS, "--seed", "5", *arguments).splitlines()
    rules = {line.split()[0] for line in said[:-1]}
    assert f"{len(rules)} kinds of jobs" in said[-1] and " 0 faults" in said[-1]
    return rules


@on_linux
@pytest.mark.workflow
def test_jobs_that_are_ended_anywhere_end_equal():
    assert crashed("--points", "15", "--only", *QUICK) == set(QUICK)


@on_linux
@pytest.mark.workflow
@pytest.mark.exhaustive
def test_jobs_of_every_rule_that_are_ended_anywhere_end_equal():
    rules = set()
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        rules |= set(re.findall(r"^rule (\w+):", path.read_text(), flags=re.MULTILINE))
    assert crashed("--points", "60") == rules
