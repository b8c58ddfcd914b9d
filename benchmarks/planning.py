"""How long planning takes: dry runs of grids of up to tens of thousands of checkpoints, before anything is computed
(cold) and when all is there and up to date (warm), and what one job of such a grid pays to plan itself (job).

    python benchmarks/planning.py [--checkpoints 1000 10000 50000] [--block 100] [--repeats 2] [--folder DIR]

A run has 50 saved epochs; runs are data sets x models x 5 levels x seeds, each a cell of its own, with two families of
probes, figures, and the headline. A ``--block`` of 25 gives four times as many probe jobs as one of 100. Data sets and
models are declared, so that nothing is downloaded, and nothing is computed: for the warm dry run all outputs are made
as empty files, which Snakemake then touches and records as if its jobs had written them. A job plans its one target in
a process of its own, as executors of clusters start it.

Each time is that of a fresh process: wall seconds, with user and system seconds in parentheses, least of the repeats.
MB is the most memory that one held. Where it says so, torch was imported, which planning must not do. Where Snakemake's
SLURM plugin is installed and SLURM's commands are too, but no controller answers, every call first waits for one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
EPOCHS, STEP = 196, 4
SAVED = EPOCHS // STEP + 1
LEVELS = [0.0, 0.2, 0.4, 0.6, 0.8]
MOST_SEEDS, MOST_DATASETS = 10, 4

#: Snakemake's executor that touches waits a tenth of a second before each job; nothing here needs to be told apart.
TOUCH = """
import sys
from snakemake import cli
from snakemake.executors import touch
touch.Executor.SLEEPING_TIME = 0
cli.main(sys.argv[1:])
"""
#: A call of Snakemake that says in the end whether it has imported torch.
CALL = """
import atexit, sys
from snakemake import cli
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
cli.main(sys.argv[1:])
"""


class Cost(NamedTuple):
    wall: float
    processor: float
    megabytes: float
    output: str

    def __str__(self) -> str:
        return f"{self.wall:.1f} ({self.processor:.1f})"


def configuration(checkpoints: int, block: int, npz: Path) -> dict:
    """A grid of at least so many checkpoints."""
    runs = -(-checkpoints // SAVED)
    seeds = min(MOST_SEEDS, -(-runs // len(LEVELS)))
    pairs = -(-runs // (len(LEVELS) * seeds))
    datasets = [f"data-{index}" for index in range(min(MOST_DATASETS, pairs))]
    models = [f"mlp-{index}" for index in range(-(-pairs // len(datasets)))]
    return {
        "device": "cpu",
        "datasets": {name: {"npz": str(npz)} for name in datasets},
        "models": {name: {"factory": "mlp", "options": {"widths": [16 + i]}} for i, name in enumerate(models)},
        "grid": [
            {
                "dataset": datasets,
                "model": models,
                "levels": LEVELS,
                "data_seeds": list(range(seeds)),
                "training": {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 64, "epochs": EPOCHS},
                "saved_epochs": [f"0-{EPOCHS}:{STEP}"],
                "epochs_per_job": block,
                "probes": {
                    "masc": {"kind": "masc", "variance": 0.99, "score": ["test", "train"]},
                    "masc50": {"kind": "masc", "variance": 0.5},
                    "velpic": {"kind": "velpic"},
                    "nearest-mean": {"kind": "nearest_mean"},
                    "logistic": {"kind": "logistic"},
                },
            }
        ],
    }


def snakemake(folder: Path, *arguments: str, program: str = CALL) -> Cost:
    """What a finished call cost; raises ``RuntimeError`` with the end of its output when it failed."""
    call = [sys.executable, "-c", program, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    call += ["--configfile", str(folder / "grid.yaml"), *arguments]
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen(call, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        output.seek(0)
        text = output.read()
    if status:
        raise RuntimeError(text[-3000:])
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20, text)


def dry_run(folder: Path, repeats: int, *arguments: str) -> Cost:
    found = [snakemake(folder, "--dry-run", *arguments) for _ in range(repeats)]
    return min(found, key=lambda cost: cost.processor)


def make_outputs(folder: Path) -> None:
    """Leave the folder as a finished grid would: outputs, empty, and what Snakemake records of its jobs."""
    for line in snakemake(folder, "--summary").output.splitlines():
        if not line.startswith("results/"):
            continue
        path = folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "checkpoints":
            path.mkdir()
        else:
            path.touch()
    snakemake(folder, "--touch", "--forceall", "--cores", "1", "--quiet", "all", program=TOUCH)


def job_arguments(cell: str) -> list[str]:
    """Arguments with which a cluster's executor starts the training of a cell."""
    dataset, model, point, seeds = Path(cell).parts[-4:]
    noise, _, level = point.partition("-")
    wildcards = {"dataset": dataset, "model": model, "noise": noise, "level": level, "seeds": seeds}
    target = "train:" + ",".join(f"{name}={value}" for name, value in wildcards.items())
    return ["--target-jobs", target, "--allowed-rules", "train", "--force", "--nolock", "--ignore-incomplete"]


def rows(checkpoints: int, block: int, repeats: int, folder: Path) -> Iterable[str]:
    npz = folder / "images.npz"
    npz.touch()
    config = configuration(checkpoints, block, npz)
    (folder / "grid.yaml").write_text(yaml.safe_dump(config))
    entry = config["grid"][0]
    runs = len(entry["dataset"]) * len(entry["model"]) * len(LEVELS) * len(entry["data_seeds"])
    cold = dry_run(folder, repeats)
    jobs = next(line.split()[1] for line in cold.output.splitlines() if line.startswith("total"))
    make_outputs(folder)
    warm = dry_run(folder, repeats)
    if "Nothing to be done" not in warm.output:
        raise RuntimeError(f"the touched grid is not up to date:\n{warm.output[-3000:]}")
    cell = f"results/runs/{entry['dataset'][-1]}/{entry['model'][-1]}/uniform-0.8/data0-model0"
    job = dry_run(folder, repeats, *job_arguments(cell))
    yield (
        f"{runs * SAVED:>11,} {int(jobs):>7,} {cold!s:>15} {warm!s:>15} {job!s:>13}"
        f" {cold.megabytes:>8.0f} {warm.megabytes:>8.0f} {job.megabytes:>8.0f}"
    )
    if any(call.output.rstrip().endswith("True") for call in (cold, warm, job)):
        yield "torch was imported"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--block", type=int, default=100, help="epochs that a probe job handles (default 100)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the made grids in this new folder, for profiling")
    arguments = parser.parse_args()
    print("checkpoints    jobs    cold s (cpu)    warm s (cpu)   job s (cpu)  cold MB  warm MB   job MB", flush=True)
    for checkpoints in arguments.checkpoints:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.folder or Path(temporary)) / str(checkpoints)
            folder.mkdir(parents=True)
            for row in rows(checkpoints, arguments.block, arguments.repeats, folder):
                print(row, flush=True)


if __name__ == "__main__":
    main()
