"""How long a grid takes, and how much of that is starting: interpreters, imports, Snakemake itself.

    python benchmarks/orchestration.py --cores 2 [--configfile config/mnist-light.yaml] [--data-root DIR]

The grid runs in an empty folder, with one thread a job. Of the cores' time, what training, dumps and probes
took beyond importing their modules counts as work; all the rest counts as start-up and orchestration, data, labels,
tables, figures and idle cores included, so the share is an upper bound.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent

#: Modules that a script imports late, besides those at its top.
LATE = {
    "fit_probes": ["latentgen.activations.dumps", "latentgen.probes.evaluate"],
}
SCRIPT_OF = {"train": "train", "probes": "fit_probes", "dumps": "dump_block"}


def processor_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def import_seconds(script: str, cores: int) -> float:
    """Wall seconds of interpreters that only import what ``script`` imports, on all cores at once, as jobs run."""
    text = (ROOT / "workflow" / "scripts" / f"{script}.py").read_text()
    lines = re.findall(r"^(?:import|from) .+$", text, flags=re.M)
    lines += [f"import {module}" for module in LATE.get(script, [])]
    began = time.monotonic()
    running = [subprocess.Popen([sys.executable, "-c", "\n".join(lines)]) for _ in range(cores)]
    if any(process.wait() for process in running):
        raise RuntimeError(f"the imports of {script}.py fail")
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--configfile", type=Path, default=ROOT / "config.yaml")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()

    imports = {step: import_seconds(script, arguments.cores) for step, script in SCRIPT_OF.items()}
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        call += ["--configfile", str(arguments.configfile.resolve()), "--cores", str(arguments.cores)]
        call += [*arguments.targets]
        if arguments.data_root:
            call += ["--config", f"data_root={arguments.data_root.resolve()}"]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        before, began = processor_seconds(resource.RUSAGE_CHILDREN), time.monotonic()
        log = subprocess.run(
            call, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        wall = time.monotonic() - began
        total = processor_seconds(resource.RUSAGE_CHILDREN) - before
        rows = []
        for path in Path(folder, "results", "benchmarks").rglob("*.tsv"):
            step = path.relative_to(Path(folder, "results", "benchmarks")).parts[0]
            rows.append(pd.read_csv(path, sep="\t").assign(step=step))
    jobs = pd.concat(rows)
    # Wall seconds of jobs with one thread each: the benchmark files sample processor time too coarsely.
    jobs["work"] = (jobs["s"] - jobs["step"].map(imports)).clip(lower=0)
    count = re.findall(r"(\d+) of \1 steps \(100%\)", log.stdout.replace(",", ""))
    by_step = jobs.groupby("step").agg(
        jobs=("s", "size"), wall_s=("s", "sum"), work_s=("work", "sum"), peak_mb=("max_rss", "max")
    )
    print(by_step.round(1).to_string())
    print(f"imports, wall seconds each: { {step: round(value, 1) for step, value in imports.items()} }")
    print(f"jobs {count[-1] if count else '?'}; wall {wall:.0f} s on {arguments.cores} cores; processor {total:.0f} s")
    print(f"start-up and orchestration: {1 - jobs['work'].sum() / (wall * arguments.cores):.1%} of the cores' time")


if __name__ == "__main__":
    main()
