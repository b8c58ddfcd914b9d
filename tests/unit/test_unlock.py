"""Which processes of other users keep a folder locked, and what unlocking clears away."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from latentgen import leftovers
from repository import ROOT

specification = importlib.util.spec_from_file_location("unlock", ROOT / "envs" / "unlock.py")
unlock = importlib.util.module_from_spec(specification)
specification.loader.exec_module(unlock)

Uids = namedtuple("Uids", "real effective saved")
ME, OTHER = 1001, 1002
CALL = ["/usr/bin/python", "/shared/env/bin/snakemake", "--cores", "8"]


def seen(words, uid=OTHER, cwd=None):
    return {"cmdline": words, "cwd": cwd, "uids": Uids(uid, uid, uid), "username": "other"}


#: A process, the owners of this folder's locks and signatures, and whether it may be at work here.
PROCESSES = {
    "another's, with no call of theirs here": (seen(CALL), {ME}, False),
    "another's, with no call here at all": (seen(CALL), set(), False),
    "another's, who has locked this folder": (seen(CALL), {ME, OTHER}, True),
    "another's, and nobody may look who has locked": (seen(CALL), None, True),
    "another's who has locked this folder, no Snakemake": (seen(["vim", "Snakefile"]), {OTHER}, False),
    "another's job of this folder": (seen(["python", "{here}/.snakemake/scripts/tmp1.train.py"]), set(), True),
    "another's job of another folder": (seen(["python", "/elsewhere/.snakemake/scripts/tmp1.train.py"]), set(), False),
    "another's call for this folder": (seen([*CALL, "--directory", "{here}"]), set(), True),
    "another's call for this folder, in short": (seen([*CALL, "-d", "{here}/../here"]), set(), True),
    "another's call for this folder, in one word": (seen([*CALL, "--directory={here}"]), set(), True),
    "another's call for a folder that only they know": (seen([*CALL, "--directory", "."]), set(), False),
    "another's call with this folder's environment": (seen(["{here}/.venv/bin/snakemake"]), set(), False),
    "of root, whose files are nobody's on a server": (seen(CALL, uid=0), {unlock.NOBODY}, True),
    "of another, files of root are nobody's": (seen(CALL), {unlock.NOBODY}, False),
    "one's own here": (seen(CALL, ME, "{here}"), {ME}, True),
    "one's own elsewhere": (seen(CALL, ME, "/"), {ME}, False),
    "one's own shell": (seen(["bash"], ME, "{here}"), {ME}, False),
    "hidden altogether": (seen(None), {OTHER}, False),
}


@pytest.mark.parametrize("case", PROCESSES)
def test_who_may_be_at_work_here(tmp_path, case):
    here = tmp_path / "here"
    here.mkdir()
    info, owners, expected = PROCESSES[case]
    words = info["cmdline"] and [word.format(here=here) for word in info["cmdline"]]
    cwd = info["cwd"] and info["cwd"].format(here=here)
    assert unlock.works_in({**info, "cmdline": words, "cwd": cwd}, here, owners) == expected


@pytest.mark.parametrize(
    ("options", "hides"),
    [
        ("rw,nosuid", False),
        ("rw,hidepid=0", False),
        ("rw,hidepid=off", False),
        ("rw,hidepid=2", True),
        ("rw,hidepid=invisible,gid=4", True),
    ],
)
def test_a_machine_that_hides_what_others_run_cannot_say(tmp_path, monkeypatch, options, hides):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"sysfs /sys sysfs rw 0 0\nproc /proc proc {options} 0 0\n")
    assert unlock.hides(mounts) == hides
    monkeypatch.setattr(unlock, "hides", lambda _: hides)
    monkeypatch.setattr(unlock.os, "getuid", lambda: ME)
    assert unlock.hidden({ME}) == []
    assert bool(unlock.hidden({ME, OTHER})) == hides


@pytest.fixture
def stale():
    """A folder with an old lock, which others can enter: those of pytest are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "here" / ".snakemake" / "locks").mkdir(parents=True)
        lock = folder / "here" / ".snakemake" / "locks" / "0.output.lock"
        lock.write_text("x\n")
        os.utime(lock, (0, 0))
        script = folder / "snakemake"
        script.write_text("print('up', flush=True)\nimport time\ntime.sleep(300)\n")
        folder.chmod(0o755)
        yield folder


CHECK = """
import importlib.util, os, sys
from pathlib import Path
specification = importlib.util.spec_from_file_location("unlock", sys.argv[1])
unlock = importlib.util.module_from_spec(specification)
specification.loader.exec_module(unlock)
os.setgroups([]), os.setgid(65534), os.setuid(65534)
here = Path.cwd()
print(*unlock.processes(here, unlock.owners_of_calls()), sep="\\n")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("owner", "refused"),
    [(65534, False), (0, True)],
    ids=["the lock is one's own", "the lock is of the user whose Snakemake runs"],
)
def test_the_snakemake_of_another_user_counts_where_it_may_be_at_work(stale, owner, refused):
    """Seen by a user who cannot read in which folder another's process works."""
    os.chown(stale / "here" / ".snakemake" / "locks" / "0.output.lock", owner, -1)
    call = [sys.executable, stale / "snakemake"]
    with subprocess.Popen(call, cwd="/", stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        checking = [sys.executable, "-c", CHECK, ROOT / "envs" / "unlock.py"]
        checked = subprocess.run(checking, cwd=stale / "here", capture_output=True, text=True)
        process.kill()
    assert checked.returncode == 0, checked.stderr
    assert (f"process {process.pid} of root, whose folder cannot be read" in checked.stdout) == refused


def test_a_process_that_is_hidden_may_be_alive(monkeypatch):
    def missing(number):
        raise leftovers.psutil.NoSuchProcess(number)

    def not_allowed(number, signal):
        raise PermissionError

    monkeypatch.setattr(leftovers.psutil, "Process", missing)
    assert not leftovers.lives(2**22 + 1, 0.0)
    monkeypatch.setattr(leftovers.os, "kill", not_allowed)
    assert leftovers.lives(4711, 0.0)


def test_unlocking_removes_what_was_left_half_written(stale):
    here = stale / "here"
    (here / "Snakefile").write_text('rule all:\n    output: "x"\n    shell: "touch x"\n')
    runs = here / "results" / "runs"
    left = [runs / ".history-0123abcd-4711-1700000000-a1b2c3d4.parquet", runs / ".checkpoints-a1b2c3d4"]
    left[1].mkdir(parents=True)
    left[0].touch()
    (runs / "history.parquet").touch()
    done = subprocess.run([sys.executable, ROOT / "envs" / "unlock.py"], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in runs.iterdir()] == ["history.parquet"]
    assert all(f"removed {path.relative_to(here)}" in done.stdout for path in left)
