"""Where this call runs, for `make unlock` to find when it was killed, and at its end what failed. Jobs run no hooks."""

import os
import socket

import psutil
from snakemake.logging import logger

from latentgen import failures
from latentgen.files import atomic

CALLER = Path(".snakemake", "callers", f"{socket.gethostname()}-{os.getpid()}")


onstart:
    with atomic(CALLER) as path:
        path.write_text(f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}\n")


onsuccess:
    CALLER.unlink(missing_ok=True)


onerror:
    CALLER.unlink(missing_ok=True)


# A job that Snakemake runs in a process of its own reads this file too.
if workflow.is_main_process:
    failures.watch(logger)
