"""Jobs of a grid, as Snakemake plans them, to be run without it: the same script with the same `snakemake` object."""

import contextlib
import io
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from snakemake.api import SnakemakeApi
from snakemake.iocontainers import Snakemake
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """A job of a script. ``script`` is a name below ``workflow/scripts``, ``given`` the object that it reads."""

    script: str
    given: Snakemake
    after: tuple[int, ...]

    @property
    def rule(self) -> str:
        return self.given.rule

    def prepare(self) -> None:
        """What Snakemake does in its folder before a job: old outputs go, the folders of new ones are made."""
        self.remove_outputs()
        for path in (*self.given.output, *self.given.log):
            Path(path).parent.mkdir(parents=True, exist_ok=True)

    def remove_outputs(self) -> None:
        """What Snakemake does after a job has failed."""
        for path in map(Path, self.given.output):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def run(self) -> None:
        """Run the script here and now; whatever it raises is raised."""
        path = ROOT / "workflow" / "scripts" / self.script
        exec(compile(path.read_text(), path, "exec"), {"snakemake": self.given, "__name__": "__main__"})


def planned(folder: Path, config: Mapping[str, Any], targets: Iterable[str]) -> list[Job]:
    """Jobs that make ``targets`` in the empty ``folder``, each after those that it needs (``after``: their places)."""
    (folder / "grid.yaml").write_text(yaml.safe_dump(dict(config)))
    here = Path.cwd()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            workflow = _plan(folder, targets)
    finally:
        os.chdir(here)
    if workflow is None:
        raise ValueError(f"Snakemake does not plan the grid: {said.getvalue()[-2000:]}")
    found, places = [], {}
    for level in workflow.dag.toposorted():
        for job in sorted(level, key=lambda job: (job.rule.name, *map(str, job.output))):
            if job.rule.script is None:
                continue
            after = sorted(places[needed] for needed in workflow.dag.dependencies[job])
            places[job] = len(found)
            named = (job.input, job.output, job.params, job.wildcards, job.threads, job.resources, job.log)
            given = Snakemake(*named, workflow.config, job.rule.name, None)
            found.append(Job(Path(job.rule.script).name, given, tuple(after)))
    return found


def _plan(folder: Path, targets: Iterable[str]):
    """The workflow object of Snakemake after a dry run, or None where that fails."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        try:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[folder / "grid.yaml"]),
                snakefile=ROOT / "Snakefile",
                workdir=folder,
            )
            dag = workflow.dag(DAGSettings(targets=set(targets)))
            dag.execute_workflow(executor="dryrun")
        except Exception as error:
            api.print_exception(error)
            return None
        return workflow._workflow
