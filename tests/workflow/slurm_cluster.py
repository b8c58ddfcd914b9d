"""The real SLURM of `single_node_slurm.sh`, and Snakemake calls that use it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from snakemake_calls import environment

SCRIPT = Path(__file__).with_name("single_node_slurm.sh")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")


def missing():
    """Programs of SLURM that this machine lacks."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


class Cluster:
    """One node with 8 cores, 64 GB and two GPUs, as SLURM is told."""

    def __init__(self):
        # Not below pytest's folders: names of sockets are limited to a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.calls = []
        try:
            self._script("up")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for call in self.calls:
            if call.poll() is None:  # a test has failed
                call.kill()
        self._script("down")
        shutil.rmtree(self.folder)

    def restart_controller(self):
        """Kill slurmctld and start it again."""
        self._script("restart")

    def _script(self, action):
        done = subprocess.run(["bash", SCRIPT, action, self.folder], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def environment(self):
        variables = environment()
        return {**variables, "PATH": f"{self.folder / 'bin'}{os.pathsep}{variables['PATH']}"}

    def ask(self, program, *arguments):
        """Output of a client."""
        call = [self.folder / "bin" / program, *arguments]
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=60).stdout

    def jobs(self, folder):
        """Jobs that were called from ``folder``, in order of their ids: what `scontrol show job` says of each."""
        blocks = self.ask("scontrol", "--details", "show", "job").split("\n\n")
        jobs = [dict(re.findall(r"(\w+)=(\S*)", block)) for block in blocks]
        return sorted((job for job in jobs if job.get("WorkDir") == str(folder)), key=lambda job: int(job["JobId"]))

    def call(self, *arguments):
        """Command line of the README, with polls that suit tests."""
        snakemake = [sys.executable, "-m", "snakemake", "--cores", "8", "--profile", "slurm"]
        return [*snakemake, "--slurm-init-seconds-before-status-checks", "3", *arguments]

    def start(self, folder, *arguments):
        """Snakemake at work in the checkout ``folder``; its output goes to ``folder/output.txt``."""
        with open(folder / "output.txt", "a") as output:
            started = {"cwd": folder, "env": self.environment(), "stdout": output, "stderr": output}
            self.calls.append(subprocess.Popen(self.call(*arguments), **started))
        return self.calls[-1]

    def run(self, folder, *arguments, seconds=900):
        """The same to its end; fails with what it wrote."""
        ended(self.start(folder, *arguments), folder, seconds)


def ended(process, folder, seconds=300):
    """Wait for a call that must succeed."""
    assert process.wait(seconds) == 0, (folder / "output.txt").read_text()[-6000:]


def trainings(folder):
    """Processes that train in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(folder) and any(re.search(r"scripts/tmp\w+\.train\.py$", word) for word in words):
            found.append(process)
    return found


def steps(job):
    """Processes with which SLURM looks after the steps of ``job`` on the node."""
    titles = ((process.info["cmdline"] or [""])[0] for process in psutil.process_iter(["cmdline"]))
    return [title for title in titles if title.startswith(f"slurmstepd: [{job}.")]
