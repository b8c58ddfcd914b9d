"""Every kind of job, ended at any of its file-system calls and run again: are the bytes those of an undisturbed run?

    python -m benchmarks.robustness.crashes --points all             # every call of every job, killed there
    python -m benchmarks.robustness.crashes --points 30 --ways kill full error --seed 1
    python -m benchmarks.robustness.crashes --only train --ways full --at 57

One job of each rule runs in a child process (`benchmarks.robustness.supervised`), on a grid of one small cell. At the
call of a chosen number the child is killed (``kill``), or the disk is full from there on (``full``), or that call alone
fails (``error``). Then no output may be there that is not whole, and a job that has failed must have said why. The job
runs again, undisturbed, after Snakemake's own preparation, and everything but logs must equal, byte for byte, what a
job leaves that nothing disturbed. Files that a writer made beside its own and left there are counted; with ``--strict``
they are faults as well. The status is 1 where there is a fault.

Not covered: power cuts (data that were written but not synced survive a killed process), half a call (each write
happens or does not), file systems over a network, calls outside the folder of the results.
"""

import argparse
import contextlib
import gc
import importlib
import itertools
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before NumPy is loaded: children are forked from this process, which must not have threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import yaml
from benchmarks.robustness import jobs, supervised, trees
from benchmarks.robustness.jobs import ROOT, Job
from benchmarks.robustness.supervised import Call

import latentgen.blocks
import latentgen.training.loop

CELL = "results/runs/digits/mlp_small/uniform-0.6/data0-1-model0"
#: What the default target does not ask for.
OPTIONAL = [
    f"{CELL}/dumps/0000-0003",
    "results/runs/digits/mlp_small/uniform-0.6/data0-model0/activations/epoch-0001/fc1.npy",
    "results/tables/published.txt",
    "results/tables/layers.parquet",
    "results/models.txt",
    "results/estimate.txt",
]
#: A way to disturb a job, and the number of the call that it is disturbed at.
Point = tuple[str, int]

#: Rules whose outputs hold times, so that no two runs leave equal bytes.
CLOCKED = {"pilot"}

WAYS = {"kill": supervised.killed_at, "full": supervised.full_from, "error": supervised.failed_at}


def grid() -> dict:
    """One cell of the smoke grid with all analyses, less of each."""
    config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    cell = config["grid"][0]
    cell |= {"levels": [0.6], "geometry": {"points": 6, "directions": 5, "restarts": 1}}
    cell["training"] |= {"batch_size": 256, "epochs": 2, "stop_accuracy": None}
    cell["embeddings"] |= {"examples": 50}
    cell["interventions"] |= {"rewind": {"examples": 100}, "transfer": {}, "edit": {"epochs": [1], "until": 2}}
    probes = {name: config["defaults"]["probes"][name] for name in ("masc", "velpic")}
    config["defaults"] |= {"saved_epochs": [0, 1], "probes": probes}
    return {**config, "models": {}, "grid": [cell]}


@dataclass
class Tally:
    """What came of the points of one job that makes so many calls."""

    calls: int
    points: int = 0
    left: int = 0
    faults: int = 0

    def __str__(self) -> str:
        whole = self.points - self.faults
        return f"{self.calls:5d} calls, {self.points:5d} points, {whole:5d} equal, {self.left:5d} left files behind"


class Trial:
    """A job run once in the folder ``whole``, undisturbed, and what is needed to do so again; works in ``folder``."""

    def __init__(self, job: Job, whole: Path, folder: Path):
        self.job, self.folder = job, folder
        self.before, self.sandbox = folder / "before", folder / "sandbox"
        copy(whole, self.before)
        self.calls = run(job, whole, folder).calls
        self.wanted = self.found(whole)

    def found(self, where: Path) -> dict[str, str]:
        """Digests of what lies there; of outputs that hold times, their names alone."""
        found = trees.digests(where)
        return {path: "" if self.job.rule in CLOCKED and self._declared(path) else found[path] for path in found}

    def _declared(self, path: str) -> bool:
        return any(Path("results", path).is_relative_to(output) for output in self.job.given.output)

    def point(self, way: str, at: int) -> tuple[list[str], list[str]]:
        """Disturb the job at its call number ``at`` and run it again: what is wrong, and what was left behind."""
        copy(self.before, self.sandbox)
        ended = disturbed(self.job, self.sandbox, self.folder, WAYS[way](at))
        found, wrong = self.found(self.sandbox), []
        for path in set(found) - set(trees.leftovers(found, self.wanted)):
            if self._declared(path) and found[path] != self.wanted.get(path):
                wrong.append(f"{path} is published and not whole")
        if ended.status:
            wrong += self._failed(ended, way)
            try:
                run(self.job, self.sandbox, self.folder)
            except RuntimeError as error:
                return [*wrong, f"it cannot be run again: {error}"], []
            found = self.found(self.sandbox)
        return wrong + trees.differences(found, self.wanted), trees.leftovers(found, self.wanted)

    def _failed(self, ended: supervised.Ended, way: str) -> list[str]:
        """What is wrong about how a disturbed job ended; what Snakemake does after a failure is done."""
        if ended.status == 1:
            with contextlib.chdir(self.sandbox):
                self.job.remove_outputs()
            return [] if "Error" in ended.said else [f"it does not say why it failed: {ended.said!r}"]
        killed = way == "kill" and ended.status == -signal.SIGKILL
        return [] if killed else [f"it ended with {ended.status}:\n{ended.said[-3000:]}"]


def copy(source: Path, target: Path) -> None:
    """Make ``target`` what ``source`` is."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def run(job: Job, where: Path, beside: Path) -> supervised.Ended:
    """Run the job undisturbed in the folder ``where``; raises ``RuntimeError`` when it fails."""
    ended = disturbed(job, where, beside, lambda number, call: None)
    if ended.status:
        raise RuntimeError(f"{job.rule} ended with {ended.status}:\n{ended.said[-3000:]}")
    preload((beside / "modules").read_text().split())
    return ended


def disturbed(job: Job, where: Path, beside: Path, fate: supervised.Fate) -> supervised.Ended:
    """Prepare the job in the folder ``where`` and run it in a child; what it says and loads is kept in ``beside``."""
    with contextlib.chdir(where):
        job.prepare()
    return supervised.supervised(lambda: work(job, where, beside / "modules"), where, beside / "said", fate)


def work(job: Job, where: Path, loaded: Path) -> None:
    """The job itself, in the child. Whatever it writes now and then it writes as often as it can."""
    os.chdir(where)
    latentgen.blocks.KEEP_SECONDS = latentgen.training.loop.STATE_SECONDS = 0.0
    job.run()
    loaded.write_text("\n".join(sys.modules))


def imports(job: Job) -> list[str]:
    """Modules that the script of a job imports first."""
    text = (ROOT / "workflow" / "scripts" / job.script).read_text()
    return re.findall(r"^(?:from|import) ([\w.]+)", text, re.M)


def preload(names: Iterable[str]) -> None:
    """Import modules, for children to have them at once."""
    for name in set(names) - set(sys.modules):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # A child that searched them for garbage would copy them all.
    gc.collect()
    gc.freeze()


def examples(planned: Sequence[Job], only: Iterable[str]) -> list[int]:
    """Places of the first job of each rule, or of those rules that are asked for."""
    first = {}
    for place, job in enumerate(planned):
        first.setdefault(job.rule, place)
    wanted = list(only) or list(first)
    if unknown := set(wanted) - set(first):
        raise SystemExit(f"no job has the rule {', '.join(sorted(unknown))}; there are {', '.join(sorted(first))}")
    return sorted(first[rule] for rule in wanted)


def needed(planned: Sequence[Job], places: Iterable[int]) -> list[int]:
    """These jobs and all that they need, in an order in which they can run."""
    found, open_ = set(), list(places)
    while open_:
        place = open_.pop()
        if place not in found:
            found.add(place)
            open_ += planned[place].after
    return sorted(found)


def drawn(calls: Sequence[Call], chosen: argparse.Namespace, share: int, generator: random.Random) -> list[Point]:
    """Points of a job that makes these ``calls``, in their order: all, or a ``share``.

    For a share, calls of one kind on one file that follow each other, as dozens of writes do, count as one.
    """
    if chosen.at:
        return [(way, chosen.at) for way in chosen.ways]
    if chosen.points is None:
        return [(way, at) for way in chosen.ways for at in range(1, len(calls) + 1)]
    alike = [list(group) for _, group in itertools.groupby(range(len(calls)), lambda index: calls[index])]
    every = [(way, group) for way in chosen.ways for group in alike]
    return sorted((way, 1 + generator.choice(group)) for way, group in generator.sample(every, min(share, len(every))))


def shares(points: int, kinds: int) -> list[int]:
    """``points`` dealt out to so many kinds of jobs, at least one to each."""
    return [max(1, points // kinds + (index < points % kinds)) for index in range(kinds)]


def attempt(trial: Trial, points: Iterable[Point], strict: bool) -> Tally:
    """Try the points of a job; faults are printed with what repeats them."""
    tally = Tally(len(trial.calls))
    name = trial.job.rule
    for way, at in points:
        wrong, left = trial.point(way, at)
        tally.points += 1
        tally.left += bool(left)
        wrong += [f"{path} is left behind" for path in left] if strict else []
        if wrong:
            tally.faults += 1
            call = trial.calls[at - 1] if at <= len(trial.calls) else "none, undisturbed"
            print(f"{name}, {way} at call {at} ({call}):", *wrong, sep="\n    ")
            print(f"    repeat: python -m benchmarks.robustness.crashes --only {name} --ways {way} --at {at}")
    return tally


def tried(folder: Path, chosen: argparse.Namespace) -> Mapping[str, Tally]:
    """Tally of each kind of job; jobs run once, undisturbed, between the trials of one and of the next."""
    whole = folder / "whole"
    whole.mkdir()
    planned = jobs.planned(whole, grid(), ["all", *OPTIONAL])
    kinds = examples(planned, chosen.only)
    dealt = dict(zip(kinds, shares(chosen.points or 0, len(kinds)), strict=True))
    # Where bytes cannot be compared there is least to see; a pilot takes longest, too.
    dealt |= {place: min(dealt[place], len(chosen.ways)) for place in kinds if planned[place].rule in CLOCKED}
    generator = random.Random(chosen.seed)
    tallies = {}
    order = needed(planned, kinds)
    preload(name for place in order for name in imports(planned[place]))
    for place in order:
        job = planned[place]
        if place in dealt:
            trial = Trial(job, whole, folder)
            points = drawn(trial.calls, chosen, dealt[place], generator)
            tallies[job.rule] = attempt(trial, points, chosen.strict)
            print(f"{job.rule:20s} {tallies[job.rule]}", flush=True)
        else:
            run(job, whole, folder)
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    number = lambda text: None if text == "all" else int(text)  # noqa: E731
    parser.add_argument("--points", type=number, help="how many in all, dealt out to the kinds of jobs; or all")
    parser.add_argument("--seed", type=int, default=0, help="which points are drawn")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["kill"])
    parser.add_argument("--only", nargs="+", default=[], help="names of rules")
    parser.add_argument("--at", type=int, help="number of the one call to disturb")
    parser.add_argument("--strict", action="store_true", help="files that are left behind are faults")
    chosen = parser.parse_args()
    if reason := supervised.missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as folder:
        tallies = tried(Path(os.path.realpath(folder)), chosen)
    points, faults = (sum(getattr(tally, name) for tally in tallies.values()) for name in ("points", "faults"))
    print(f"{len(tallies)} kinds of jobs, {points} points, {faults} faults; seed {chosen.seed}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    # At a longer end some of the many libraries that are loaded complain of each other.
    os._exit(main())
