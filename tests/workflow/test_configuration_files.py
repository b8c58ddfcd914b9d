"""Configuration files as Snakemake takes them, which parses those of ``--configfile`` itself."""

import shutil
import subprocess
import sys

import pytest
import yaml
from snakemake_calls import SMOKE, check_out, environment, run

from repository import ROOT

pytestmark = pytest.mark.workflow


def test_a_key_that_stands_twice_in_the_top_file_is_refused_with_both_lines(tmp_path):
    lines = yaml.safe_dump(SMOKE).splitlines()
    (tmp_path / "grid.yaml").write_text("\n".join([*lines, "threads: 2"]))
    first = 1 + next(index for index, line in enumerate(lines) if line.startswith("threads:"))
    said = run(tmp_path, "--dry-run", check=False)
    assert said.returncode != 0 and "Traceback" not in said.stdout
    assert "the configuration grid.yaml cannot run:" in said.stdout
    assert f"grid.yaml: threads: written 2 times, in lines {first} and {len(lines) + 1}; keep one" in said.stdout


def test_a_file_without_a_grid_is_no_configuration_but_goes_with_one(tmp_path):
    shutil.copy(ROOT / "config.yaml", tmp_path)
    (tmp_path / "grid.yaml").write_text("device: cpu\nthreads: 3\n")
    said = run(tmp_path, "--dry-run", check=False)
    assert said.returncode != 0 and "grid: is needed" in said.stdout and "--config key=value" in said.stdout
    # The last of several files counts where they have the same key; here the order puts config.yaml first.
    (tmp_path / "both.yaml").write_text("device: cpu\nthreads: 3\n")
    shutil.copy(ROOT / "config.yaml", tmp_path / "grid.yaml")
    said = run(tmp_path, str(tmp_path / "both.yaml"), "--dry-run", "--printshellcmds")
    assert "\nfit_probes" in said.stdout


def test_single_settings_are_for_the_default_grid(tmp_path):
    check_out(tmp_path)
    call = [sys.executable, "-m", "snakemake", "--dry-run", "--config", "threads=5000"]
    said = subprocess.run(call, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert (
        "the configuration config.yaml cannot run:\n  threads: 5000 is greater than the maximum of 1024" in said.stdout
    )
