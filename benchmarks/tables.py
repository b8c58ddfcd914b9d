"""Seconds, peak memory and size of large tables: gathering, reading a cell, figures, headline, published values.

    OMP_NUM_THREADS=1 python benchmarks/tables.py [--seeds 48] [--folder DIR] [--steps gather-probes fig1 ...]

Synthetic runs of 2 data sets, 4 models, 2 kinds of noise and 5 levels, half of which stop early, each its own cell with
the files that jobs would write: about 3,100 rows of probes (3 on 8 layers, at 70 saved epochs, on test and held-out
examples), 4,700 of history (up to 500 epochs), 2,600 of rewinding (7 layers, about 25 epochs, 5 views) and 3,100 of
gradients (7 layers and the network, about 5 epochs) a run. The default makes 12, 18, 10 and 12 million rows of them.
Each step runs the workflow's own script in a process of its own. With ``--folder`` the files stay there, and are taken
from there where they exist.
"""

import argparse
import hashlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from latentgen import analyses, tables
from latentgen.figures.catalogue import FIGURES

ROOT = Path(__file__).resolve().parent.parent
MODELS, NOISES = ("mlp", "cnn", "vgg16", "resnet18"), ("uniform", "asymmetric")
POINTS = list(product(("mnist", "cifar10"), MODELS, NOISES, (0.0, 0.2, 0.4, 0.6, 0.8)))
LAYERS = ["input", *(f"layer{k}" for k in range(1, 8))]
PROBES = ("masc", "velpic", "logistic")
EPOCHS, BLOCK = 500, 100
VIEWS = ("test", "validation", "unpermuted", "permuted", "restored")
GROUPS = ("unpermuted", "permuted", "selected", "all")
COMPARED = ("permuted", "selected")
PARTS = ("total", "label", "independent", "label_centered", "independent_centered")
GRADIENTS = [
    *product(GROUPS, PARTS, ("norm", "norm_per_root_parameter", "projection")),
    *product(COMPARED, PARTS, ("cosine_with_unpermuted",)),
    *product(GROUPS, ("label", "label_centered"), ("cosine_with_independent",)),
]
TABLES = ("probes", "history", "rewind", "gradients")
STEPS = (
    *(f"gather-{name}" for name in TABLES),
    *("cell", "fig1", "fig3", "fig10", "fig12", "fig15", "fig20", "fig21", "fig23", "fig24", "headline", "published"),
)


def cells(seeds: int):
    """(grid point, seed, last epoch) of each cell, in the order of a configuration."""
    for number, (point, seed) in enumerate(product(POINTS, range(seeds))):
        draw = np.random.default_rng(number)
        yield point, seed, int(draw.integers(EPOCHS // 2, EPOCHS)) if number % 2 else EPOCHS


def saved_epochs(last: int) -> np.ndarray:
    every = np.unique(np.r_[0, np.geomspace(1, EPOCHS, 92).round().astype(int)])
    return np.unique(np.r_[every[every < last], last])


def repeated(columns: dict, schema: pa.Schema) -> pa.Table:
    n = max(len(values) for values in columns.values() if isinstance(values, np.ndarray))
    arrays = []
    for field in schema:
        values = columns[field.name]
        if isinstance(values, np.ndarray):
            arrays.append(pa.array(values, field.type, from_pandas=True))
        else:
            arrays.append(pa.repeat(pa.scalar(values, field.type), n))
    return pa.Table.from_arrays(arrays, schema=schema)


def run_columns(point: tuple, seed: int) -> dict:
    entry = hashlib.sha256(repr(point[:3]).encode()).hexdigest()[:12]
    return dict(zip(tables.RUN.names, (*point, seed, seed, entry), strict=True))


def probe_rows(point: tuple, seed: int, epochs: np.ndarray, draw: np.random.Generator) -> pa.Table:
    scored = np.array([("test", "true"), ("validation", "given")])
    at = [index.ravel() for index in np.meshgrid(*map(np.arange, (len(epochs), 3, 8, 2)), indexing="ij")]
    n = len(at[0])
    names = np.array(PROBES)
    hashes = np.array([f"{value:016x}" for value in draw.integers(0, 2**62, len(epochs) * 3)])
    return repeated(
        run_columns(point, seed)
        | {"epoch": epochs[at[0]], "probe": names[at[1]], "layer": np.array(LAYERS)[at[2]], "depth": at[2]}
        | {"split": scored[at[3], 0], "labels": scored[at[3], 1], "batch_norm": "running", "fit_labels": "given"}
        | {"metric": "accuracy", "value": draw.integers(2000, 9000, n) / 10000, "n": np.where(at[3], 5000, 10000)}
        | {"rank": draw.integers(10, 400, n) / 10, "margin": draw.random(n), "inputs": hashes[at[0] * 3 + at[1]]},
        analyses.TABLES["probes"].schema,
    )


def history_rows(point: tuple, seed: int, last: int, draw: np.random.Generator) -> pa.Table:
    kinds = [("test", "true", "evaluated"), ("validation", "given", "evaluated"), ("validation", "true", "evaluated")]
    kinds += [("train", "given", "running"), ("train", "true", "running")]
    at_saved = [("train", "given", "evaluated"), ("train", "true", "evaluated")]
    saved, rows = set(saved_epochs(last).tolist()), []
    for epoch in range(last + 1):
        of_epoch = kinds[: 5 if epoch else 3] + (at_saved if epoch in saved else [])
        rows += [(epoch, *kind, metric) for kind in of_epoch for metric in ("accuracy", "loss")]
    names = ("epoch", "split", "labels", "mode", "metric")
    columns = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    values = draw.integers(2000, 9000, len(rows)) / 10000
    return repeated(run_columns(point, seed) | columns | {"value": values, "n": 10000}, tables.HISTORY)


def rewind_rows(point: tuple, seed: int, epochs: np.ndarray, draw: np.random.Generator) -> pa.Table:
    epochs = np.unique(np.r_[epochs[::3], epochs[-1]])
    at = [index.ravel() for index in np.meshgrid(*map(np.arange, (len(epochs), 3, 7, 5)), indexing="ij")]
    kinds, layers, views = np.array(["alone", "prefix", "suffix"]), np.array(LAYERS[1:]), np.array(VIEWS)[at[3]]
    absent = np.isin(views, VIEWS[3:]) & (point[3] == 0)  # nothing is mislabelled
    values = np.where(absent, np.nan, draw.integers(2000, 9000, len(views)) / 10000)
    return repeated(
        run_columns(point, seed)
        | {"epoch": epochs[at[0]], "last_epoch": epochs[-1], "kind": kinds[at[1]], "layer": layers[at[2]]}
        | {"depth": at[2] + 1, "parameters": 1000 * (at[2] + 1), "weights": "saved", "draw": None}
        | {"batch_norm": "none", "view": views, "metric": "accuracy", "value": values}
        | {"n": np.where(absent, 0, 5000), "inputs": f"{draw.integers(0, 2**62):016x}"},
        analyses.TABLES["rewind"].schema,
    )


def gradient_rows(point: tuple, seed: int, epochs: np.ndarray, draw: np.random.Generator) -> pa.Table:
    epochs = np.unique(np.r_[epochs[::20], epochs[-1]])
    at = [index.ravel() for index in np.meshgrid(*map(np.arange, (len(epochs), 8, len(GRADIENTS))), indexing="ij")]
    group, part, metric = np.array(GRADIENTS)[at[2]].T
    absent = np.isin(group, COMPARED) & (point[3] == 0)  # nothing is mislabelled
    layers = np.array([*LAYERS[1:], "network"])
    return repeated(
        run_columns(point, seed)
        | {"epoch": epochs[at[0]], "layer": layers[at[1]], "depth": np.where(at[1] < 7, at[1] + 1, np.nan)}
        | {"parameters": 1000 * (at[1] + 1), "group": group, "part": part, "metric": metric}
        | {"value": np.where(absent, np.nan, draw.integers(1, 1000, len(group)) / 1000)}
        | {"n": np.where(absent, 0, 5000), "inputs": f"{draw.integers(0, 2**62):016x}"},
        analyses.TABLES["gradients"].schema,
    )


def make(folder: Path, seeds: int) -> None:
    """Write the files of all cells, and the lists of them."""
    parts: dict[str, list[str]] = {name: [] for name in TABLES}
    for point, seed, last in cells(seeds):
        draw = np.random.default_rng(seed)
        cell = folder / "runs" / "-".join(map(str, point)) / f"data{seed}-model{seed}"
        (cell / "probes").mkdir(parents=True)
        epochs = saved_epochs(last)
        for start in range(0, EPOCHS + 1, BLOCK):
            of_block = epochs[(epochs >= start) & (epochs < start + BLOCK)]
            path = cell / "probes" / f"{start:04d}.parquet"
            table = (
                probe_rows(point, seed, of_block, draw)
                if len(of_block)
                else analyses.TABLES["probes"].schema.empty_table()
            )
            pq.write_table(table, path, compression="zstd", store_schema=False)
            parts["probes"].append(str(path))
        of_run = {
            "history": history_rows(point, seed, last, draw),
            "rewind": rewind_rows(point, seed, epochs, draw),
            "gradients": gradient_rows(point, seed, epochs, draw),
        }
        for name, table in of_run.items():
            pq.write_table(table, cell / f"{name}.parquet", compression="zstd", store_schema=False)
            parts[name].append(str(cell / f"{name}.parquet"))
    for name, paths in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(paths))


class Paths(list):
    """Named files of a job, as Snakemake hands them over."""

    def __init__(self, **named):
        super().__init__(named.values())
        self.__dict__.update(named)


def run_step(step: str, folder: Path) -> None:
    """What one step does, in this process."""
    gathered = {name: str(folder / "tables" / f"{name}.parquet") for name in TABLES}
    used = FIGURES[step].tables if step in FIGURES else ("probes", "history")
    job = SimpleNamespace(log=[str(folder / "log")], wildcards=SimpleNamespace(figure=step))
    if step.startswith("gather"):
        name = step.removeprefix("gather-")
        job.input = SimpleNamespace(parts=json.loads((folder / f"{name}.json").read_text()))
        job.output, job.params = Paths(table=gathered[name]), {}
        script = "gather"
    elif step == "cell":
        dataset, model, noise, level = POINTS[len(POINTS) // 2]
        filters = [("dataset", "==", dataset), ("model", "==", model), ("noise", "==", noise), ("level", "==", level)]
        tables.read(gathered["probes"], filters=[*filters, ("data_seed", "==", 0)])
        return
    elif step in ("headline", "published"):
        job.input, script = Paths(**{name: gathered[name] for name in used}), step
        job.output = Paths(**{kind: str(folder / f"{step}.{kind}") for kind in ("parquet", "csv", "text")})
    else:
        probe = {"fit_labels": "given", "batch_norm": "running", "n_axes": None, "variance": 0.99}
        settings = {name: {**probe, "kind": name} for name in PROBES}
        job.input = SimpleNamespace(data=[], tables=[gathered[name] for name in used])
        job.params = SimpleNamespace(settings=settings, models={})
        job.output, script = SimpleNamespace(pdf=str(folder / f"{step}.pdf")), "draw_figure"
    runpy.run_path(str(ROOT / "workflow" / "scripts" / f"{script}.py"), init_globals={"snakemake": job})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=48, help="runs of each of the 80 grid points")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--one", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_step(arguments.one, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "history.json").exists():
            make(folder, arguments.seeds)
        print(f"{'step':<16}{'seconds':>9}{'processor s':>13}{'peak MB':>9}", flush=True)
        for step in arguments.steps:
            began = time.monotonic()
            call = [sys.executable, __file__, "--one", step, "--folder", str(folder)]
            child = subprocess.Popen(call, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(child.pid, 0)
            if status:
                raise SystemExit(f"step {step} ended with status {status}")
            seconds = time.monotonic() - began
            print(
                f"{step:<16}{seconds:>9.1f}{used.ru_utime + used.ru_stime:>13.1f}{used.ru_maxrss / 1024:>9.0f}",
                flush=True,
            )
        for path in sorted((folder / "tables").glob("*.parquet")):
            about = pq.read_metadata(path)
            size = path.stat().st_size / 2**20
            print(f"{path.name}: {about.num_rows:,} rows, {about.num_row_groups:,} row groups, {size:,.0f} MB")


if __name__ == "__main__":
    main()
