"""The set-up: lock, conda environment, `make env`, `make unlock` and the Makefile."""

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_LINES = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
LOCK = [Requirement(line.removesuffix("\\")) for line in LOCK_LINES if not line.startswith(("#", " "))]

CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch", "snakemake-minimal": "snakemake"}


def locked(name: str, python: str) -> list[str]:
    """Versions that the lock gives ``name`` on Linux with Python ``python``."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    return [
        next(iter(entry.specifier)).version
        for entry in LOCK
        if canonicalize_name(entry.name) == canonicalize_name(name)
        and (entry.marker is None or entry.marker.evaluate(environment))
    ]


def declared() -> list[Requirement]:
    project = PYPROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    return [Requirement(line) for line in [*project["dependencies"], *extras, *PYPROJECT["build-system"]["requires"]]]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_lock_meets_every_declared_requirement_once(python):
    for requirement in declared():
        versions = locked(requirement.name, python)
        assert len(versions) == 1, (requirement.name, versions)
        assert requirement.specifier.contains(versions[0]), (requirement, versions)


def test_lock_is_exact_and_names_no_place():
    for entry in LOCK:
        assert entry.url is None
        assert [part.operator for part in entry.specifier] == ["=="], entry
    for line in LOCK_LINES:
        assert not line.startswith("-"), line
        assert "://" not in line, line


def test_lock_has_a_digest_of_what_each_requirement_may_install():
    entries = re.split(r"\n(?=\S)", "\n".join(LOCK_LINES[2:]))
    assert len(entries) == len(LOCK) > 100
    for entry in entries:
        requirement, *digests = entry.split(" \\\n    ")
        assert "\\" not in requirement and digests, entry
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests), entry
        assert len(set(digests)) == len(digests), entry


def test_conda_environment_has_the_versions_of_the_lock():
    content = yaml.safe_load((ROOT / "envs" / "latentgen.yaml").read_text())
    pinned = dict(re.split(r" ?=", line, maxsplit=1) for line in content["dependencies"] if "=" in line)
    python = pinned.pop("python")
    names = {canonicalize_name(CONDA_NAMES.get(name, name)) for name in pinned}
    assert names == {
        canonicalize_name(Requirement(line).name)
        for line in [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    }
    for name, version in pinned.items():
        assert [version] == locked(CONDA_NAMES.get(name, name), python), name


# ---- make env ----

# A build backend that needs nothing: it answers with the wheel that lies beside it.
BACKEND = """
import shutil

def build_editable(folder, settings=None, metadata=None):
    shutil.copy("latentgen-0.1.0-py3-none-any.whl", folder)
    return "latentgen-0.1.0-py3-none-any.whl"
"""


def wheel(folder: Path, name: str, version: str, more: str = "") -> None:
    """Write a wheel with one module, which holds its version and what ``more`` says."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n{more}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        f"{len(text)}\n"
        for path, text in files.items()
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)


@pytest.fixture
def clone(tmp_path):
    """A clone whose lock asks for one tiny package, which lies in a folder of wheels: no network needed."""
    root = tmp_path / "clone"
    (root / "envs").mkdir(parents=True)
    for name in ("make_env.sh", "make_env.py", "unlock.py"):
        shutil.copy(ROOT / "envs" / name, root / "envs")
    shutil.copy(ROOT / "Makefile", root)
    (root / "backend.py").write_text(BACKEND)
    wheel(root, "latentgen", "0.1.0")
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "tiny", "1.0")
    wheel(wheels, "tiny", "2.0")
    lock(root, "1.0")
    return root


def lock(root: Path, version: str) -> None:
    """Lock the tiny package, with the digest of its wheel where there is one."""
    file = root.parent / "wheels" / f"tiny-{version}-py3-none-any.whl"
    digest = hashlib.sha256(file.read_bytes() if file.exists() else b"").hexdigest()
    (root / "envs" / "requirements.txt").write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n")


def set_up(root: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "LATENTGEN_FREE_GB": "0.05",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(root.parent / "wheels"),
        **variables,
    }
    command = ["/bin/sh", str(root / "envs" / "make_env.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def tiny(root: Path) -> str:
    """Version of the tiny package that the environment of ``root`` imports."""
    command = [root / ".venv/bin/python", "-c", "import tiny; print(tiny.version)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.exhaustive
def test_set_up_is_made_once_updated_repaired_and_follows_a_move(clone):
    first = set_up(clone)
    assert first.returncode == 0, first.stderr
    assert tiny(clone) == "1.0"
    assert not (clone / "build" / "make-env").exists()

    again = set_up(clone)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    lock(clone, "3.0")
    failed = set_up(clone)
    assert failed.returncode == 1
    assert "has no build for Python" in failed.stderr
    assert "tiny==3.0" in failed.stderr
    lock(clone, "1.0")
    assert set_up(clone).stdout == ""  # what could not be fetched has spoiled nothing

    lock(clone, "2.0")
    kept = clone / ".venv" / "kept"
    kept.touch()
    assert set_up(clone).returncode == 0
    assert tiny(clone) == "2.0"
    assert kept.exists()

    # As a set-up that was killed: no stamp, and a package whose files are only partly there.
    (clone / ".venv" / ".latentgen-stamp").unlink()
    next((clone / ".venv").glob("lib/python*/site-packages/tiny.py")).unlink()
    repaired = set_up(clone)
    assert "left unfinished" in repaired.stdout
    assert tiny(clone) == "2.0"
    assert not kept.exists()

    moved = clone.rename(clone.parent / "moved")
    assert "was moved" in set_up(moved).stdout
    assert f"#!{moved}/.venv/bin/python" in (moved / ".venv/bin/pip").read_text()


@pytest.mark.exhaustive
def test_a_package_that_is_not_the_locked_one_is_refused(clone):
    wheel(clone.parent / "wheels", "tiny", "1.0", more="stolen = True\n")
    failed = set_up(clone)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: a package is not the one that envs/requirements.txt locks")
    assert not list((clone / ".venv").glob("lib/python*/site-packages/tiny.py"))

    (clone / "envs" / "requirements.txt").write_text("tiny==1.0\n")  # no digest
    failed = set_up(clone, PIP_REQUIRE_HASHES="0")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: a package is not the one that envs/requirements.txt locks")


#: A build backend in the place of setuptools, which packs the wheel that the source holds.
SETUPTOOLS = """
import shutil

def build_wheel(folder, settings=None, metadata=None):
    shutil.copy("tiny-4.0-py3-none-any.whl", folder)
    return "tiny-4.0-py3-none-any.whl"
"""


def test_what_comes_as_source_is_built_with_the_locked_setuptools_even_where_there_is_a_newer_one(clone):
    wheels, source = clone.parent / "wheels", clone.parent / "tiny-4.0"
    source.mkdir()
    wheel(source, "tiny", "4.0")
    (source / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools"\n')
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 4.0\n")
    shutil.make_archive(wheels / "tiny-4.0", "gztar", clone.parent, "tiny-4.0")
    wheel(wheels, "setuptools", "84.0", more=SETUPTOOLS)
    wheel(wheels, "setuptools", "85.0", more="raise SystemExit('not the locked one')\n")
    files = {"setuptools==84.0": "setuptools-84.0-py3-none-any.whl", "tiny==4.0": "tiny-4.0.tar.gz"}
    digests = {entry: hashlib.sha256((wheels / name).read_bytes()).hexdigest() for entry, name in files.items()}
    entries = [f"{entry} \\\n    --hash=sha256:{digest}\n" for entry, digest in digests.items()]
    (clone / "envs" / "requirements.txt").write_text("".join(entries))
    made = set_up(clone)
    assert made.returncode == 0, made.stderr
    assert tiny(clone) == "4.0"


def test_own_environment_is_used_and_never_deleted(clone):
    subprocess.run([sys.executable, "-m", "venv", clone / ".venv"], check=True)
    (clone / ".venv" / "mine").touch()
    assert set_up(clone).returncode == 0
    assert tiny(clone) == "1.0"
    moved = clone.rename(clone.parent / "moved")
    refused = set_up(moved)
    assert refused.returncode == 1
    assert "not made by `make env`" in refused.stderr
    assert (moved / ".venv" / "mine").exists()


def test_missing_network_is_named(clone):
    index = {
        "PIP_NO_INDEX": "0",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "1",
    }
    failed = set_up(clone, **index)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: no network")
    for remedy in ("HTTPS_PROXY", "PIP_INDEX_URL", "PIP_FIND_LINKS"):
        assert remedy in failed.stderr


def test_missing_disk_space_is_named_before_anything_is_made(clone):
    failed = set_up(clone, LATENTGEN_FREE_GB="1e9")
    assert failed.returncode == 1
    assert "not enough disk space" in failed.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    "words",
    [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "OSError: [Errno 122] Disk quota exceeded: '/home/user/latentgen/.venv/lib'",
    ],
)
def test_disk_that_fills_up_is_named(words):
    specification = importlib.util.spec_from_file_location("make_env", ROOT / "envs" / "make_env.py")
    make_env = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make_env)
    # Retries of a download before it must not pass for a missing network.
    said = make_env.explain(f"WARNING: Retrying after connection broken by 'ReadTimeoutError'\n{words}\n")
    assert said.startswith("the disk is full")


def stub(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def find_python(clone: Path, bin: Path, **variables: str) -> subprocess.CompletedProcess:
    """Look for a Python where only the programs in ``bin`` are on PATH."""
    bin.mkdir(exist_ok=True)
    (bin / "dirname").symlink_to(shutil.which("dirname"))
    command = ["/bin/sh", str(clone / "envs" / "make_env.sh")]
    return subprocess.run(command, env={"PATH": str(bin), **variables}, capture_output=True, text=True)


def test_old_python_is_refused_by_what_was_found_and_what_is_needed(clone, tmp_path):
    # Prints its version when asked to print, and exits 1 for the comparison.
    stub(tmp_path / "bin", "python3", 'case "$2" in *print*) echo 3.9.18;; *) exit 1;; esac')
    refused = find_python(clone, tmp_path / "bin")
    assert refused.returncode == 1
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert "python3 is 3.9.18" in refused.stderr


def test_missing_python_and_missing_venv_are_named(clone, tmp_path):
    assert "no Python found on PATH" in find_python(clone, tmp_path / "empty").stderr
    wrong = find_python(clone, tmp_path / "wrong", PYTHON="/nowhere/python3")
    assert wrong.returncode == 1
    assert "PYTHON is /nowhere/python3" in wrong.stderr
    stub(tmp_path / "debian", "python3", 'case "$2" in *print*) echo 3.11.2;; *ensurepip*) exit 1;; esac')
    bare = find_python(clone, tmp_path / "debian")
    assert bare.returncode == 1
    assert "venv and ensurepip are missing from python3 (3.11.2)" in bare.stderr
    assert "python3-venv" in bare.stderr


# ---- the Makefile ----


def make(root: Path, *targets: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *targets], cwd=root, capture_output=True, text=True)


def test_help_is_the_default_and_lists_every_target(clone):
    phony = re.search(r"^\.PHONY: (.*)", (clone / "Makefile").read_text(), re.M)[1].split()
    shown = make(clone).stdout
    assert re.findall(r"^  make ([\w-]+)", shown, re.M) == phony


def test_clean_leaves_the_readme(clone):
    (clone / "results" / "runs").mkdir(parents=True)
    (clone / "results" / "README.md").touch()
    (clone / "results" / "runs" / "table").touch()
    assert "results/runs" in make(clone, "clean").stdout
    assert [path.name for path in (clone / "results").iterdir()] == ["README.md"]


def test_unlock_refuses_while_a_snakemake_or_its_job_is_alive_here(tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    scripts = here / ".snakemake" / "scripts"
    scripts.mkdir(parents=True)
    elsewhere.mkdir()
    (here / "Snakefile").write_text('rule all:\n    output: "x"\n    shell: "touch x"\n')
    lock = here / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir()
    lock.write_text("x\n")
    os.utime(lock, (0, 0))
    for name in (scripts / "tmp1.train.py", tmp_path / "snakemake"):
        name.write_text("print('up', flush=True)\nimport time\ntime.sleep(60)\n")

    def unlock():
        command = [sys.executable, ROOT / "envs" / "unlock.py"]
        return subprocess.run(command, cwd=here, capture_output=True, text=True)

    for script in (scripts / "tmp1.train.py", tmp_path / "snakemake"):
        with subprocess.Popen([sys.executable, script], cwd=here, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            refused = unlock()
            process.kill()
        assert refused.returncode == 1
        assert f"process {process.pid}" in refused.stderr
        assert lock.exists()

    with subprocess.Popen([sys.executable, tmp_path / "snakemake"], cwd=elsewhere, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        freed = unlock()
        process.kill()
    assert freed.returncode == 0, freed.stderr
    assert not lock.exists()


@pytest.fixture
def stale(tmp_path):
    """A folder with a lock that nobody holds; calling it is `make unlock` there, with a SLURM that answers so."""
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    lock.write_text("x\n")
    os.utime(lock, (0, 0))
    (tmp_path / "Snakefile").write_text('rule all:\n    output: "x"\n    shell: "touch x"\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / ".snakemake" / "slurm_logs").mkdir()

    def unlock(queue="true"):
        squeue = tmp_path / "bin" / "squeue"
        squeue.write_text(f"#!/bin/sh\n{queue}\n")
        squeue.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        command = [sys.executable, ROOT / "envs" / "unlock.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode == 0) == (not (tmp_path / ".snakemake" / "locks").exists())
        return done

    return unlock


def test_unlock_refuses_while_a_job_of_this_folder_is_in_the_queue(stale, tmp_path):
    refused = stale(f"echo '17|RUNNING|{tmp_path}'; echo '18|PENDING|{tmp_path}'; echo '19|RUNNING|/elsewhere'")
    assert "SLURM job 17 of this folder is RUNNING" in refused.stderr
    assert "scancel 17 18\n" in refused.stderr
    assert stale("echo '19|RUNNING|/elsewhere'").returncode == 0


def test_unlock_refuses_when_slurm_does_not_answer(stale):
    assert "cannot be asked" in stale("echo 'Unable to contact slurm controller' >&2; exit 1").stderr


@pytest.fixture
def caller(tmp_path):
    """Writes down a call of Snakemake in that folder, as the workflow does."""
    folder = tmp_path / ".snakemake" / "callers"
    folder.mkdir(parents=True)

    def write(host, process, began):
        (folder / f"{host}-{process}").write_text(f"{host} {process} {began}\n")

    return write


@pytest.mark.parametrize("left", ["", "login2", "login2 4711 soon", "login2 x 12.5"])
def test_unlock_passes_over_a_signature_that_a_full_disk_cut_off(stale, caller, tmp_path, left):
    (tmp_path / ".snakemake" / "callers" / "login2-4711").write_text(left)
    done = stale()
    assert done.returncode == 0 and "login2-4711 does not say who called" in done.stderr


def test_a_signature_that_was_cut_off_is_none_while_the_lock_is_young(stale, caller, tmp_path):
    (tmp_path / ".snakemake" / "callers" / "login2-4711").write_text("")
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("x\n")
    assert "the lock is young" in stale().stderr


def test_unlock_refuses_on_another_machine_than_the_killed_call(stale, caller):
    caller("login2", 4711, 12.5)
    refused = stale()
    assert "started in this folder on login2 (process 4711)" in refused.stderr
    assert "call 'make unlock' on login2" in refused.stderr


def test_unlock_refuses_while_the_calling_process_is_alive_whatever_it_looks_like(stale, caller, tmp_path):
    me = psutil.Process()
    caller(socket.gethostname(), me.pid, me.create_time() - 10)  # a number that another process had before
    assert stale().returncode == 0
    (tmp_path / ".snakemake" / "locks").mkdir()
    (tmp_path / ".snakemake" / "locks" / "0.output.lock").write_text("x\n")
    (tmp_path / ".snakemake" / "callers").mkdir()
    caller(socket.gethostname(), me.pid, me.create_time() - 1)  # the clock has been set since
    assert f"process {me.pid}, which called Snakemake in this folder" in stale().stderr


def test_unlock_knows_a_dead_call_whose_parent_has_not_asked_for_its_end(stale, caller):
    with subprocess.Popen(["sleep", "60"]) as dead:
        caller(socket.gethostname(), dead.pid, psutil.Process(dead.pid).create_time())
        assert f"process {dead.pid}, which called Snakemake" in stale().stderr
        dead.kill()
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert stale().returncode == 0


def test_unlock_refuses_a_young_lock_that_nobody_has_signed(stale, tmp_path):
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    os.utime(lock)
    assert "may be of a call that begins on another machine: try again in" in stale().stderr
    os.utime(lock, (0, 0))
    assert stale().returncode == 0
