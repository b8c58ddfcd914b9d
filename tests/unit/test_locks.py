"""Locks between jobs, on one machine and between machines."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import time

import pytest

from latentgen import locks
from latentgen.locks import locked

pytestmark = pytest.mark.usefixtures("no_scheduler")


@pytest.fixture
def no_scheduler(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A `squeue` that answers with the lines given, one a call, the last for ever; it writes down its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(locks, "_POLL_SECONDS", 0.01)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def answers(*commands):
        answer = "\n".join(f"{number}) {command};;" for number, command in enumerate(commands[:-1]))
        script = folder / "squeue"
        script.write_text(
            f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n'
            f"case $(($(wc -l <{tmp_path}/asked) - 1)) in\n{answer}\n*) {commands[-1]};;\nesac\n"
        )
        script.chmod(0o755)
        return tmp_path / "asked"

    return answers


def hold(path, entered, leave):
    with locked(path):
        entered.set()
        leave.wait(30)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "lock", entered, leave))
    process.start()
    assert entered.wait(30)
    yield process, leave
    process.kill()
    process.join()


@pytest.mark.parametrize("end", ["leaves", "is killed"])
def test_a_second_job_waits_until_the_first_ends(tmp_path, holder, end, caplog):
    process, leave = holder
    with open(tmp_path / "lock") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    leave.set() if end == "leaves" else process.kill()
    with locked(tmp_path / "lock"):
        process.join(10)
        assert not process.is_alive()


def test_waiting_is_said(tmp_path, holder, caplog):
    _, leave = holder
    context = multiprocessing.get_context("spawn")
    timer = context.Process(target=wake, args=(leave,))
    timer.start()
    with locked(tmp_path / "lock"):
        assert "another training is alive" in caplog.text
        assert f"Held by: process {holder[0].pid} of user" in caplog.text
    timer.join()


def test_the_file_s_own_words_name_a_holder_that_the_kernel_does_not(tmp_path, holder, monkeypatch, caplog):
    """As where another machine holds the lock of a shared file system."""
    process, leave = holder
    monkeypatch.setattr(locks.holders, "of_lock", lambda path: "")
    monkeypatch.setattr(locks.holders, "of_claim", lambda key: "")
    timer = multiprocessing.get_context("spawn").Process(target=wake, args=(leave,))
    timer.start()
    with locked(tmp_path / "lock"):
        assert f"Held by: process {process.pid} on " in caplog.text
    timer.join()


@pytest.fixture
def inner(tmp_path):
    """A lock in a folder of its own, and another process that holds it."""
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    path = tmp_path / "partial" / "lock"
    process = context.Process(target=hold, args=(path, entered, leave))
    process.start()
    assert entered.wait(30)
    yield path, process, leave
    process.kill()
    process.join()


@pytest.mark.parametrize("lost", ["file", "folder", "file that is there again"])
def test_a_file_that_is_deleted_while_it_is_held_frees_nothing(inner, lost, caplog):
    path, process, leave = inner
    shutil.rmtree(path.parent) if lost == "folder" else path.unlink()
    if "again" in lost:
        path.touch()
    timer = multiprocessing.get_context("spawn").Process(target=wake, args=(leave,))
    timer.start()
    with locked(path):
        assert f"Held by: process {process.pid} of user" in caplog.text
        process.join(10)
        assert not process.is_alive()
    timer.join()


@pytest.mark.parametrize("kind", ["named pipe", "folder", "link", "dangling link"])
def test_what_is_no_regular_file_is_refused(tmp_path, kind):
    path = tmp_path / "lock"
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "file").touch()
        path.symlink_to("file" if kind == "link" else "nothing")
    with pytest.raises(OSError, match=f"{path}: .*remove what lies there while none runs"), locked(path):
        pass
    assert not (tmp_path / "nothing").exists()


def wake(event):
    time.sleep(0.5)
    event.set()


def test_the_file_names_its_holder_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text().split()[1] == "17"
    assert (tmp_path / "lock").read_text() == ""


def test_a_slurm_job_elsewhere_is_waited_for_where_locks_do_not_reach(tmp_path, squeue, caplog):
    asked = squeue("echo RUNNING", "echo COMPLETING", "echo COMPLETED")
    (tmp_path / "lock").write_text("node7 17 5\n")
    with locked(tmp_path / "lock"):
        assert len(asked.read_text().splitlines()) == 3
    assert "--jobs=17" in asked.read_text()
    assert "SLURM job 17 on node7 may still work" in caplog.text


@pytest.mark.parametrize(
    "answer", ["echo CANCELLED", "true", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"]
)
def test_one_that_is_over_or_forgotten_is_not(tmp_path, squeue, caplog, answer):
    squeue(answer)
    (tmp_path / "lock").write_text("node7 17 5\n")
    with locked(tmp_path / "lock"):
        assert caplog.text == ""


def test_no_answer_is_no_leave_to_enter(tmp_path, squeue, caplog):
    asked = squeue("echo 'Unable to contact slurm controller' >&2; exit 1", "echo RUNNING", "echo FAILED")
    (tmp_path / "lock").write_text("node7 17 5\n")
    with locked(tmp_path / "lock"):
        assert len(asked.read_text().splitlines()) == 3
    assert "does not say whether job 17 is over: Unable to contact" in caplog.text


def test_a_lock_that_is_emptied_by_hand_is_free(tmp_path, squeue):
    squeue(f"echo RUNNING; : >{tmp_path}/lock")
    (tmp_path / "lock").write_text("node7 17 5\n")
    with locked(tmp_path / "lock"):
        pass


def test_without_squeue_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "lock").write_text("node7 17 5\n")
    with pytest.raises(RuntimeError, match="no squeue here.*empty that file"), locked(tmp_path / "lock"):
        pass


def test_a_requeued_job_does_not_wait_for_itself(tmp_path, squeue, monkeypatch):
    asked = squeue("echo RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    (tmp_path / "lock").write_text("node7 17 5\n")
    with locked(tmp_path / "lock"):
        assert not asked.exists()


def test_a_file_system_without_locks_is_refused_with_the_remedy(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(OSError, match="cannot be locked.*Lustre: mounted with 'flock'"), locked(tmp_path / "lock"):
        pass
