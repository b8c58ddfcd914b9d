"""What a killed process leaves is removed; what a living one writes is not."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from latentgen import leftovers
from latentgen.files import atomic, temporary_folder

WRITER = """
import sys
from latentgen.files import atomic, temporary_folder
with atomic(sys.argv[1]) as path, temporary_folder(sys.argv[2], "staging") as folder:
    path.write_text("of the child")
    (folder / "file").write_text("of the child")
    print(path, folder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path):
    """Another process in the midst of writing ``table.txt`` and a folder; the paths of both."""
    call = [sys.executable, "-c", WRITER, tmp_path / "table.txt", tmp_path]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, [Path(path) for path in process.stdout.readline().split()]
        process.kill()


def inside(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("other", ["table.txt", "another.csv"])
def test_what_a_killed_writer_left_goes_when_the_next_writes_there(writer, tmp_path, other):
    process, left = writer
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert all(path.exists() for path in left)
    with atomic(tmp_path / other) as path:
        path.write_text("new")
    assert inside(tmp_path) == [other]


def test_a_killed_writer_that_nobody_has_buried_is_dead(writer, tmp_path):
    process, left = writer
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert set(leftovers.sweep(tmp_path)) == set(left) and inside(tmp_path) == []


def test_two_who_write_at_once_leave_each_other_alone(writer, tmp_path):
    process, written = writer
    with atomic(tmp_path / "table.txt") as path, temporary_folder(tmp_path, "staging") as folder:
        assert leftovers.sweep(tmp_path) == leftovers.sweep_below(tmp_path) == []
        path.write_text("of the parent")
        assert folder.is_dir() and all(path.exists() for path in written)
    assert (tmp_path / "table.txt").read_text() == "of the parent"
    process.communicate("\n")
    assert process.returncode == 0 and inside(tmp_path) == ["table.txt"]
    assert (tmp_path / "table.txt").read_text() == "of the child"


def test_a_renamed_folder_stays(tmp_path):
    with temporary_folder(tmp_path, "staging") as folder:
        (folder / "file").touch()
        folder.rename(tmp_path / "whole")
    assert inside(tmp_path) == ["whole"] and inside(tmp_path / "whole") == ["file"]


def named(host, process, began):
    return f".history-{host}-{process}-{int(began)}-a1b2c3d_.parquet"


ME = psutil.Process()
HERE, ELSEWHERE, DEAD = leftovers._host(), "0123abcd", 2**22 + 1
NAMES = {
    "dead": (named(HERE, DEAD, 1000), True, True),
    "alive": (named(HERE, ME.pid, ME.create_time()), False, False),
    "alive, the clock was set": (named(HERE, ME.pid, ME.create_time() - 3), False, False),
    "number taken by another": (named(HERE, ME.pid, ME.create_time() - 1000), True, True),
    "of another machine": (named(ELSEWHERE, DEAD, 1000), False, True),
    "of an earlier version": (".history-a1b2c3d_.parquet", False, True),
    "not hidden": (named(HERE, DEAD, 1000)[1:], False, False),
    "a user's own": (".gitignore", False, False),
    "a user's own with a long ending": (".plots-settings.json", False, False),
}


@pytest.mark.parametrize("case", NAMES)
def test_what_is_removed(tmp_path, case):
    name, by_a_job, by_unlocking = NAMES[case]
    for sweep, goes in ((leftovers.sweep, by_a_job), (leftovers.sweep_below, by_unlocking)):
        (tmp_path / name).touch()
        assert sweep(tmp_path) == [tmp_path / name] * goes
        assert (tmp_path / name).exists() == (not goes)


def test_another_machine_has_a_week(tmp_path):
    path = tmp_path / named(ELSEWHERE, DEAD, 1000)
    path.touch()
    for days, goes in ((6.9, False), (7.1, True)):
        os.utime(path, (time.time() - days * 86400,) * 2)
        assert leftovers.sweep(tmp_path) == [path] * goes


@pytest.mark.parametrize("sweep", [leftovers.sweep, leftovers.sweep_below])
def test_what_is_locked_stays_whatever_its_name_says(tmp_path, sweep):
    """As in two containers with one name for the machine, whose processes do not see each other."""
    path = tmp_path / named(HERE, DEAD, 1000)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep(tmp_path) == [] and path.exists()
    assert sweep(tmp_path) == [path]


def test_a_pipe_of_that_name_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / named(HERE, DEAD, 1000))
    leftovers.sweep(tmp_path)
    assert inside(tmp_path) == []


def test_all_folders_below_are_swept(tmp_path):
    deep = tmp_path / "runs" / "digits"
    (deep / named(HERE, DEAD, 1000)).mkdir(parents=True)
    (deep / ".checkpoints-a1b2c3d4").mkdir()
    (deep / ".state-abcdefg7.safetensors").touch()
    (deep / "history.parquet").touch()
    assert len(leftovers.sweep_below(tmp_path)) == 3
    assert inside(deep) == ["history.parquet"]


@pytest.mark.parametrize("name", ["a" * 240, "a.b.parquet", "no_suffix", ".hidden"])
def test_a_writer_of_any_name_can_be_told(tmp_path, name):
    with atomic(tmp_path / name) as path:
        path.write_text("x")
        copy = path.with_name(path.name.replace(f"-{ME.pid}-", f"-{DEAD}-"))
        shutil.copy(path, copy)
    assert leftovers.sweep(tmp_path) == [copy] and inside(tmp_path) == [name]
