"""Where this call runs, for `make unlock` to find when it was killed. Jobs run no hooks."""

import os
import socket

import psutil

from latentgen.files import atomic

CALLER = Path(".snakemake", "callers", f"{socket.gethostname()}-{os.getpid()}")


onstart:
    with atomic(CALLER) as path:
        path.write_text(f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}\n")


onsuccess:
    CALLER.unlink(missing_ok=True)


onerror:
    CALLER.unlink(missing_ok=True)
