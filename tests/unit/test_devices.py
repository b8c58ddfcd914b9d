"""Leases of devices: real processes, invented devices."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from latentgen import devices, grid, holders
from latentgen.compute import choose_device

pytestmark = pytest.mark.slow

PAIR = ["aaaa", "bbbb"]

#: Leases a device, says which, and keeps it until standard input ends.
HOLDER = """
import logging, sys
from latentgen.devices import lease
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
folder, slots, *identities = sys.argv[1:]
print("holds", identities[lease(identities, int(slots), folder)], flush=True)
sys.stdin.read()
"""

FORK = """
import os, time
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
sys.stdin.read()
"""


class Holder:
    def __init__(self, folder, slots=1, identities=PAIR):
        call = [sys.executable, "-c", HOLDER, str(folder), str(slots), *identities]
        self.process = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def line(self):
        self.held = self.process.stdout.readline().strip()
        return self.held

    def words(self):
        """How those who wait name it."""
        user = pwd.getpwuid(os.getuid()).pw_name
        return f"process {self.process.pid} of user {user} on {socket.gethostname()}"

    def end(self, signal_number=None):
        if signal_number is None:
            self.process.stdin.close()
        else:
            self.process.send_signal(signal_number)
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def holder(folder):
    """Starts holders, and ends those that are left."""
    started = []

    def start(*arguments, **named):
        started.append(Holder(folder, *arguments, **named))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def holding_nothing():
    """What a test leases in this process goes at its end."""
    yield
    devices._forget()


def test_two_processes_never_hold_the_same_device(holder):
    assert [holder().line(), holder().line()] == ["holds aaaa", "holds bbbb"]


@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL], ids=["done", "terminated", "killed"])
def test_a_waiting_process_says_so_once_and_gets_what_is_freed(holder, end):
    first, second, third = holder(), holder(), None
    assert {first.line(), second.line()} == {"holds aaaa", "holds bbbb"}
    third = holder()
    said = third.line()
    assert said.startswith("all GPUs are in use (2, by 1 each); waiting for one. Held by: ")
    for device, one in zip(PAIR, sorted([first, second], key=lambda one: one.held), strict=True):
        assert f"{device}-0: {one.words()}" in said
    time.sleep(0.5)  # several looks
    freed = second if end else first
    freed.end(end)
    assert third.line() in ("holds aaaa", "holds bbbb")


def test_a_wait_is_clocked_and_the_rest_of_a_lease_is_not(folder, holder, holding_nothing, monkeypatch):
    monkeypatch.setattr(devices, "_waited", 0.0)
    assert devices.lease(["bbbb"], folder=folder) == 0 and devices.waited() == 0
    other = holder(identities=["aaaa"])
    assert other.line() == "holds aaaa"
    ends = threading.Timer(1.0, other.end)
    ends.start()
    assert devices.lease(["aaaa"], folder=folder) == 0
    ends.join()
    assert 0.5 < devices.waited() < 30


def test_a_free_device_comes_before_a_second_slot(holder):
    three = [holder(2) for _ in range(3)]
    lines = [one.line() for one in three]
    assert sorted(lines) in (["holds aaaa", "holds aaaa", "holds bbbb"], ["holds aaaa", "holds bbbb", "holds bbbb"])
    fourth = holder(2)
    assert sorted([*lines, fourth.line()]) == ["holds aaaa"] * 2 + ["holds bbbb"] * 2
    waits = holder(2).line()
    assert waits.startswith("all GPUs are in use (2, by 2 each); waiting for one")
    assert all(one.words() in waits for one in [*three, fourth])


def test_a_device_that_is_free_again_comes_before_one_whose_first_slot_is(holder):
    three = []
    for device in ("aaaa", "bbbb", "aaaa"):
        three.append(holder(2))
        assert three[-1].line() == f"holds {device}"
    three[0].end()
    three[1].end()
    assert holder(2).line() == "holds bbbb"


def test_processes_that_see_other_devices_agree_by_identity(holder):
    assert holder(identities=["bbbb"]).line() == "holds bbbb"
    assert holder(identities=["bbbb", "aaaa"]).line() == "holds aaaa"
    assert holder(identities=["bbbb"]).line().startswith("all GPUs are in use (1, by 1 each)")


def test_one_lease_a_process(folder, holding_nothing):
    assert devices.lease(PAIR, folder=folder) == devices.lease(PAIR, folder=folder) == 0
    assert len(devices._held) == 1


def test_a_forked_child_does_not_keep_its_parent_s_lease(folder, holder):
    with_child = HOLDER.replace("sys.stdin.read()", FORK)
    call = [sys.executable, "-c", with_child, str(folder), "1", "aaaa"]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "holds aaaa\n"
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            assert holder(identities=["aaaa"]).line() == "holds aaaa"
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_locks_are_for_all_users_whatever_the_habit_of_the_first(folder, holding_nothing):
    before = os.umask(0o077)
    try:
        devices.lease(PAIR, folder=folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def as_another_user(call):
    """What ``call`` raises in a process without the rights of root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            call()
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as handle:
        text = handle.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def public():
    """A folder that other users can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="latentgen-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_another_user_leases_from_the_same_files(public):
    locks = public / "locks"
    assert as_another_user(lambda: devices.lease(["aaaa"], folder=locks)) == ""
    assert as_another_user(lambda: devices.lease(["aaaa", "bbbb"], folder=locks)) == ""
    with open(locks / "aaaa-0") as handle:
        assert handle.read() == ""


@pytest.mark.parametrize("closed", ["locks", "locks/aaaa-0"])
def test_what_another_user_closed_is_an_error_that_names_the_remedy(public, closed):
    locks = public / "locks"
    locks.mkdir()
    locks.chmod(0o1777)
    (locks / "aaaa-0").touch()
    (public / closed).chmod(0)
    text = as_another_user(lambda: devices.lease(PAIR, folder=locks))
    locks.chmod(0o1777)
    assert text.startswith(f"RuntimeError: {public / closed}: Permission denied")
    assert f"chmod 1777 {locks}; chmod 444 {locks}/*" in text and "while no job runs" in text


def test_a_folder_in_which_nothing_may_be_made_and_a_link_in_its_place(public):
    locks = public / "locks"
    locks.mkdir()
    locks.chmod(0o755 if os.geteuid() == 0 else 0o555)
    text = as_another_user(lambda: devices.lease(PAIR, folder=locks))
    locks.chmod(0o755)
    assert text.startswith(f"RuntimeError: {locks / 'aaaa-0'}: Permission denied")
    (public / "link").symlink_to(locks)
    with pytest.raises(RuntimeError, match="chmod 1777"):
        devices.lease(PAIR, folder=public / "link")


@pytest.mark.parametrize("lost", ["slot", "every slot", "folder", "renamed folder", "slot that is there again"])
def test_a_file_that_is_deleted_while_it_is_held_frees_nothing(folder, holder, lost):
    first = holder(identities=["aaaa"])
    assert first.line() == "holds aaaa"
    if lost == "folder":
        shutil.rmtree(folder)
    elif lost == "renamed folder":
        folder.rename(folder.with_name("elsewhere"))
    else:
        for path in folder.iterdir():
            path.unlink()
    if lost == "slot that is there again":
        (folder / "aaaa-0").touch()
    second = holder(identities=["aaaa"])
    assert second.line().startswith("all GPUs are in use (1, by 1 each)") and first.words() in second.held
    first.end()
    assert second.line() == "holds aaaa"
    third = holder(identities=["aaaa"])
    assert third.line().endswith(f"aaaa-0: {second.words()}")


def put(kind, path):
    """Something that is no regular file in the place of a slot."""
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        # Where the path is short enough for one.
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    else:
        path.symlink_to("elsewhere" if kind == "dangling link" else path.parent.parent / "file")


@pytest.mark.parametrize("kind", ["named pipe", "folder", "socket", "link", "dangling link"])
def test_a_slot_that_is_no_regular_file_is_refused(folder, tmp_path, kind, holding_nothing):
    folder.mkdir()
    folder.chmod(0o1777)
    (tmp_path / "file").touch()
    put(kind, folder / "bbbb-0")
    reason = "symbolic link" if "link" in kind else "is not a regular file"
    with pytest.raises(RuntimeError, match=rf"bbbb-0: .*{reason}.*remove it while no job runs"):
        devices.lease(PAIR, folder=folder)
    assert not devices._held
    (folder / "bbbb-0").rmdir() if kind == "folder" else (folder / "bbbb-0").unlink()
    assert devices.lease(PAIR, folder=folder) == 0  # what was looked at before the refusal is free again


@pytest.mark.parametrize("kind", ["named pipe", "link", "dangling link", "file"])
def test_what_is_no_folder_in_its_place_is_refused(folder, tmp_path, kind):
    folder.touch() if kind == "file" else put(kind, folder)
    with pytest.raises(RuntimeError, match=f"{folder}: .*chmod 1777"):
        devices.lease(PAIR, folder=folder)


@pytest.mark.parametrize(
    "mode,accepted",
    [(0o1777, True), (0o777, False), (0o775, False), (0o757, False), (0o3775, True), (0o755, True), (0o700, True)],
)
def test_a_folder_in_which_others_may_remove_a_lock_is_refused(folder, mode, accepted, holding_nothing):
    folder.mkdir()
    folder.chmod(mode)
    if accepted:
        assert devices.lease(PAIR, folder=folder) == 0
    else:
        with pytest.raises(RuntimeError, match=f"{folder}: mode {mode:o} lets others remove.*chmod 1777 {folder}"):
            devices.lease(PAIR, folder=folder)


#: Locks a path and keeps it until standard input ends.
LOCKER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def locker():
    """Starts a process that locks a path."""
    started = []

    def lock(path):
        call = [sys.executable, "-c", LOCKER, str(path)]
        started.append(subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "locked\n"
        return started[-1]

    yield lock
    for process in started:
        process.communicate()


def test_a_foreign_lock_on_the_folder_is_said_and_then_an_error_that_names_its_holder(
    folder, locker, holding_nothing, monkeypatch, caplog
):
    folder.mkdir()
    folder.chmod(0o1777)
    process = locker(folder)
    monkeypatch.setattr(devices, "_PATIENCE", (0.1, 0.5))
    with pytest.raises(RuntimeError, match=rf"{folder}: locked for \d seconds by process {process.pid} of user"):
        devices.lease(PAIR, folder=folder)
    assert re.findall(rf"{folder} is locked.*Held by: process {process.pid} ", caplog.text)
    process.communicate()
    assert devices.lease(PAIR, folder=folder) == 0


def test_a_foreign_lock_on_a_slot_is_named_and_the_other_device_taken(folder, locker, holder):
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "aaaa-0").touch()
    process = locker(folder / "aaaa-0")
    assert holder().line() == "holds bbbb"
    assert f"aaaa-0: process {process.pid} of user" in holder().line()


def test_a_wait_is_said_again_after_a_while(folder, holder, holding_nothing, monkeypatch, caplog):
    monkeypatch.setattr(holders, "AGAIN_SECONDS", 0.5)
    other = holder(identities=["aaaa"])
    assert other.line() == "holds aaaa"
    ends = threading.Timer(1.5, other.end)
    ends.start()
    assert devices.lease(["aaaa"], folder=folder) == 0
    ends.join()
    assert 2 <= caplog.text.count("all GPUs are in use") <= 6


#: Leases, logs that it entered and left, and ends.
VISITOR = """
import os, sys, time
from latentgen.devices import lease
folder, log, slots, *identities = sys.argv[1:]
handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
name = identities[lease(identities, int(slots), folder)]
os.write(handle, f"+ {name}\\n".encode())
time.sleep(0.05)
os.write(handle, f"- {name}\\n".encode())
"""


@pytest.mark.parametrize("slots", [1, 2])
def test_many_processes_at_once_never_crowd(folder, tmp_path, slots):
    log = tmp_path / "log"
    call = [sys.executable, "-c", VISITOR, str(folder), str(log), str(slots), *PAIR]
    running = [subprocess.Popen(call) for _ in range(16)]
    assert [process.wait(60) for process in running] == [0] * len(running)
    inside, lines = dict.fromkeys(PAIR, 0), log.read_text().splitlines()
    for line in lines:
        sign, name = line.split()
        inside[name] += 1 if sign == "+" else -1
        assert 0 <= inside[name] <= slots
    assert len(lines) == 2 * len(running) and {line.split()[1] for line in lines} == set(PAIR)


@pytest.fixture
def two_gpus(monkeypatch):
    """PyTorch as it is on a machine with two GPUs; returns the list of devices that were chosen."""
    chosen = []
    invented = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_properties": lambda number: SimpleNamespace(uuid=PAIR[number]),
        "set_device": chosen.append,
    }
    for name, function in invented.items():
        monkeypatch.setattr(torch.cuda, name, function)
    return chosen


@pytest.fixture
def temporary(tmp_path, monkeypatch, holding_nothing):
    monkeypatch.setattr(devices, "FOLDER", tmp_path / "latentgen-devices")
    return devices.FOLDER


def test_a_job_computes_on_the_gpu_that_it_leased(two_gpus, temporary, holder):
    other = Holder(temporary, identities=PAIR[:1])
    assert other.line() == "holds aaaa"
    try:
        assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 1)
    finally:
        other.end()
    assert two_gpus == [1, 1]
    assert choose_device("cpu") == torch.device("cpu")


def test_a_gpu_that_is_asked_for_by_number(two_gpus, temporary):
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert list(devices._held) == ["bbbb"]


def test_as_many_jobs_share_a_gpu_as_the_environment_says(two_gpus, temporary, monkeypatch):
    monkeypatch.setenv(devices.JOBS_PER_GPU, "2")
    others = [Holder(temporary, 2) for _ in range(3)]
    try:
        lines = [other.line() for other in others]
        least = min(PAIR, key=lambda name: lines.count(f"holds {name}"))
        assert choose_device("auto") == torch.device("cuda", PAIR.index(least))
    finally:
        for other in others:
            other.end()


def test_the_configuration_says_how_many_jobs_share_a_gpu():
    entry = {"dataset": "digits", "model": "mlp_small", "levels": [0.0], "saved_epochs": [0]}
    entry["training"] = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "epochs": 1}
    config = {"grid": [{**entry, "probes": {"masc": {"kind": "masc"}}}]}
    assert grid.load(config).config["jobs_per_gpu"] == 1
    assert grid.load({**config, "jobs_per_gpu": 4}).config["jobs_per_gpu"] == 4
    with pytest.raises(grid.ConfigError, match="jobs_per_gpu: 0 is less than the minimum of 1"):
        grid.load({**config, "jobs_per_gpu": 0})


@pytest.mark.gpu
def test_a_real_gpu_is_leased_by_its_identity(temporary):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    place = choose_device("auto")
    assert place.type == "cuda" and place.index == torch.cuda.current_device()
    identity = str(torch.cuda.get_device_properties(place.index).uuid)
    assert len(identity) >= 32 and [path.name for path in temporary.iterdir()][0].endswith("-0")
    assert list(devices._held) == [identity]
    assert torch.zeros(2, device=place).sum().item() == 0
