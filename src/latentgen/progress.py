"""Logs: every line goes to the job's own file, and a line now and then to the terminal."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("latentgen")


@contextlib.contextmanager
def logged(path: str, echo_seconds: float = 30.0) -> Iterator[logging.Logger]:
    """Send this package's log, warnings and the traceback of an error to ``path``; echo at most every so often."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, mode="w")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(_Seldom(echo_seconds))
    root = logging.getLogger()
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    root.addHandler(file)
    root.addHandler(terminal)
    try:
        yield log
    except BaseException:
        file.handle(log.makeRecord(log.name, logging.ERROR, "", 0, "failed", (), sys.exc_info()))
        raise
    finally:
        root.removeHandler(file)
        root.removeHandler(terminal)
        file.close()


class _Seldom(logging.Filter):
    """Lets warnings pass, and of the rest one line in ``seconds``; the first of them after as long."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds
        self.last = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if record.levelno < logging.WARNING and now - self.last < self.seconds:
            return False
        self.last = now
        return True


class Rate:
    """Speed and time left of a loop, for its log lines."""

    def __init__(self, total: int, done: int = 0):
        self.total, self.start, self.began = total, done, time.monotonic()

    def left(self, done: int) -> str:
        """``"12.3 s each, at most 0:14:05 left"`` after ``done`` of ``total``."""
        each = (time.monotonic() - self.began) / max(done - self.start, 1)
        seconds = round(each * (self.total - done))
        clock = f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
        return f"{each:.3g} s each, at most {clock} left"
