"""The failed jobs of a call of Snakemake in one list at its end: what each was of, its cause, where its log lies."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Jobs of one cause, and causes, that are written out; the rest is counted.
_JOBS, _CAUSES = 3, 20
#: Longest cause, in characters.
_LONGEST = 240
#: Most of a log's end that is read, in bytes.
_TAIL = 2**16

_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True)
class Failure:
    """A failed job: rule and what it is of, in words; its cause in a line; its log, where it has one."""

    job: str
    cause: str
    log: str


class Collector(logging.Handler):
    """Handler of Snakemake's logger that writes the list to standard error when the call ends.

    It takes events rather than Snakemake's own log file, from which ``--quiet`` keeps them. Snakemake closes its
    handlers at the end of a call, after everything else it says, as a workflow and as a module of another.
    """

    def __init__(self):
        super().__init__()
        self._began = time.time()
        self._wildcards: dict[int, dict[str, str]] = {}
        self._failed: dict[int, Failure] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a job that begins, fails, or ends well after all, in a second attempt."""
        # A list of failures must never be one.
        with contextlib.suppress(Exception):
            event = getattr(getattr(record, "event", None), "value", None)
            if event == "job_info":
                self._wildcards[record.jobid] = dict(record.wildcards or {})
            elif event == "job_finished":
                self._failed.pop(record.job_id, None)
                self._wildcards.pop(record.job_id, None)
            elif event == "job_error":
                self._failed[record.jobid] = self._failure(record)

    def _failure(self, record: logging.LogRecord) -> Failure:
        log = str(record.log[0]) if record.log else ""
        said = (record.rule_msg or "").strip()
        values = self._wildcards.get(record.jobid, {}).values()
        job = record.rule_name + (f" of {', '.join(map(str, values))}" if values else "")
        return Failure(job, cause_in(log, self._began) or _shortened(said) or _unsaid(log), log)

    def close(self) -> None:
        """Write the list, once."""
        failed, self._failed = list(self._failed.values()), {}
        with contextlib.suppress(Exception):
            if failed:
                print(summary(failed), file=sys.stderr, flush=True)
        super().close()


def watch(logger: logging.Logger) -> None:
    """List at the end what fails in this call; several workflows in one call have one list."""
    if not any(isinstance(handler, Collector) for handler in logger.handlers):
        logger.addHandler(Collector())


def cause_in(log: str, began: float = 0.0) -> str:
    """The cause of a failure, as the last traceback in a job's log states it; empty where there is none.

    ``began`` : time before which the log is that of an earlier call
    """
    path = Path(log)
    if not log or not path.is_file() or path.stat().st_mtime < began:
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        text = file.read().decode(errors="replace")
    return cause_of(text)


def cause_of(text: str) -> str:
    """The exception of the last traceback in ``text``, in one line; empty where there is none."""
    _, found, rest = text.rpartition(_TRACEBACK)
    if not found:
        return ""
    lines = rest.splitlines()[1:]
    # Places in the code are indented; the exception is not, and what follows is its message's other lines.
    start = next((number for number, line in enumerate(lines) if line and not line[0].isspace()), None)
    return "" if start is None else _shortened(" ".join(lines[start:]))


def summary(failed: Iterable[Failure]) -> str:
    """The list in plain text; jobs of one rule that failed for one cause stand together."""
    causes: dict[tuple[str, str], list[Failure]] = {}
    for failure in failed:
        causes.setdefault((failure.job.split(" ")[0], failure.cause), []).append(failure)
    number = sum(map(len, causes.values()))
    lines = ["", f"{number} job{'s' if number > 1 else ''} failed:"]
    for (_, cause), alike in list(causes.items())[:_CAUSES]:
        many = f"{len(alike)} jobs: " if len(alike) > 1 else ""
        more = f"; and {len(alike) - _JOBS} more" if len(alike) > _JOBS else ""
        lines.append(f"  {many}{'; '.join(failure.job for failure in alike[:_JOBS])}{more}")
        lines.append(f"    cause: {cause}")
        logs = [failure.log for failure in alike if failure.log]
        if logs:
            lines.append(f"    log: {', '.join(logs[:_JOBS])}{', …' if len(logs) > _JOBS else ''}")
    if len(causes) > _CAUSES:
        left = sum(map(len, list(causes.values())[_CAUSES:]))
        lines.append(f"  and {left} more, for other causes")
    return "\n".join(lines)


def _unsaid(log: str) -> str:
    if not log:
        return "not known; the rule has no log"
    return "its log names none: it did not start, or was ended from outside, as where memory or time ran out"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
