"""What failed in a call of Snakemake, in one list: causes in logs of jobs, and events of Snakemake's own logger."""

import logging
import os
from types import SimpleNamespace

import pytest
from snakemake.logging import logger as snakemake_logger
from snakemake_interface_logger_plugins.common import LogEvent

from latentgen import failures

#: The end of a job's log, as the workflow's scripts write it.
LOG = """2026-11-28 07:32:57 INFO data0-model0: epoch 1 of 6
2026-11-28 07:32:58 ERROR failed
Traceback (most recent call last):
  File "progress.py", line 27, in logged
    yield log
  File "train.py", line 14, in <module>
    train_cell(
  File "models/__init__.py", line 76, in build
    model = make(tuple(in_shape), n_classes, **(options or {}))
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "broken_net.py", line 2, in broken
    raise ValueError("there is no network of width "
ValueError: there is no network of width 4:
widths end at 3
"""
CHAINED = """Traceback (most recent call last):
  File "files.py", line 3, in read
    open(path)
FileNotFoundError: [Errno 2] No such file or directory: 'x'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "files.py", line 5, in read
    raise OSError("x cannot be read") from error
OSError: x cannot be read
"""


@pytest.mark.parametrize(
    "text,cause",
    [
        (LOG, "ValueError: there is no network of width 4: widths end at 3"),
        (CHAINED, "OSError: x cannot be read"),
        (LOG + CHAINED, "OSError: x cannot be read"),
        ("Traceback (most recent call last):\n  File 'a', line 1\nKeyboardInterrupt\n", "KeyboardInterrupt"),
        ("Traceback (most recent call last):\n  File 'a', line 1\n", ""),
        ("2026-11-28 07:32:57 INFO epoch 1 of 6\n", ""),
        ("", ""),
        ("Traceback (most recent call last):\n  f\nE: " + "x" * 999, "E: " + "x" * 236 + "…"),
    ],
)
def test_the_cause_is_the_exception_of_the_last_traceback(text, cause):
    assert failures.cause_of(text) == cause


@pytest.fixture
def call(capsys):
    """A call of Snakemake as its logger has it: events in, list out."""
    logger = logging.getLogger("a call of snakemake")
    logger.setLevel(logging.INFO)
    failures.watch(logger)
    failures.watch(logger)  # as where two workflows are modules of a third
    (collector,) = logger.handlers

    def begin(jobid, rule="train", **wildcards):
        logger.info("", extra={"event": LogEvent.JOB_INFO, "jobid": jobid, "rule_name": rule, "wildcards": wildcards})

    def fail(jobid, log=None, rule="train", rule_msg=None):
        extra = {"event": LogEvent.JOB_ERROR, "jobid": jobid, "rule_name": rule, "rule_msg": rule_msg}
        logger.error("", extra={**extra, "log": [str(log)] if log else []})

    def finish(jobid):
        logger.info("", extra={"event": LogEvent.JOB_FINISHED, "job_id": jobid})

    def end():
        logger.removeHandler(collector)
        collector.close()
        collector.close()
        return capsys.readouterr().err

    yield SimpleNamespace(logger=logger, begin=begin, fail=fail, finish=finish, end=end)
    logger.handlers.clear()


def test_a_failed_job_is_listed_with_what_it_is_of_its_cause_and_its_log(call, tmp_path):
    log = tmp_path / "train.log"
    call.begin(3, dataset="digits", model="broken", level="0.6")
    call.begin(4, model="good")
    log.write_text(LOG)
    call.fail(3, log)
    call.finish(4)
    assert call.end() == (
        "\n1 job failed:\n"
        "  train of digits, broken, 0.6\n"
        "    cause: ValueError: there is no network of width 4: widths end at 3\n"
        f"    log: {log}\n"
    )


def test_jobs_of_one_rule_and_cause_stand_together(call, tmp_path):
    (tmp_path / "log").write_text(LOG)
    for jobid in range(12):
        call.begin(jobid, seeds=f"data{jobid}")
        call.fail(jobid, tmp_path / "log")
    call.fail(12, tmp_path / "log", rule="fit_probes")
    said = call.end()
    assert said.startswith("\n13 jobs failed:\n  12 jobs: train of data0; train of data1; train of data2; and 9 more\n")
    assert said.count("cause: ValueError") == 2 and "\n  fit_probes\n" in said


def test_many_causes_are_counted(call):
    for jobid in range(25):
        call.fail(jobid, rule_msg=f"cause {jobid}")
    said = call.end()
    assert "cause 19\n" in said and "cause 20" not in said and said.endswith("  and 5 more, for other causes\n")


def test_a_second_attempt_that_ends_well_is_no_failure(call, tmp_path):
    call.fail(3)
    call.begin(3)
    call.finish(3)
    assert call.end() == ""


def test_a_second_attempt_that_fails_is_listed_once_with_its_own_cause(call, tmp_path):
    for text in (LOG, CHAINED):
        (tmp_path / "log").write_text(text)
        call.fail(3, tmp_path / "log")
    said = call.end()
    assert (
        said.startswith("\n1 job failed:") and "cause: OSError: x cannot be read" in said and "ValueError" not in said
    )


def test_a_log_of_an_earlier_call_names_no_cause(call, tmp_path):
    (tmp_path / "log").write_text(LOG)
    os.utime(tmp_path / "log", (0, 0))
    call.fail(3, tmp_path / "log")
    assert "cause: its log names none: it did not start, or was ended from outside" in call.end()


def test_what_a_scheduler_says_is_the_cause_where_the_log_has_none(call, tmp_path):
    (tmp_path / "log").write_text("2026-11-28 07:32:57 INFO epoch 1 of 6\n")
    call.fail(3, tmp_path / "log", rule_msg="SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.\n")
    assert "cause: SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'." in call.end()


def test_nothing_is_said_where_nothing_failed_and_nothing_odd_makes_it_fail(call):
    call.logger.error("an error of another kind")
    call.logger.error("", extra={"event": LogEvent.JOB_ERROR})
    call.logger.info("", extra={"event": LogEvent.JOB_FINISHED})
    call.logger.info("", extra={"event": "job_info"})
    assert call.end() == ""


def test_snakemake_s_own_logger_closes_the_list_at_the_end_of_a_call(capsys, tmp_path):
    from snakemake.logging import LoggerManager
    from snakemake.settings.types import OutputSettings, Quietness

    before = list(snakemake_logger.handlers)
    quiet = OutputSettings(quiet={Quietness.ALL})
    try:
        manager = LoggerManager(snakemake_logger, quiet)
        failures.watch(snakemake_logger)
        extra = {"event": LogEvent.JOB_ERROR, "jobid": 1, "rule_name": "train", "rule_msg": "no", "log": []}
        snakemake_logger.error("", extra=extra)
        manager.stop()
    finally:
        snakemake_logger.handlers[:] = before
    assert capsys.readouterr().err == "\n1 job failed:\n  train\n    cause: no\n"
