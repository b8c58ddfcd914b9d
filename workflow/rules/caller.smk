"""Where this call runs, for `make unlock` to find when it was killed. Jobs run no hooks."""

import os
import socket

import psutil

CALLER = Path(".snakemake", "callers", f"{socket.gethostname()}-{os.getpid()}")


onstart:
    CALLER.parent.mkdir(parents=True, exist_ok=True)
    CALLER.write_text(f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}\n")


onsuccess:
    CALLER.unlink(missing_ok=True)


onerror:
    CALLER.unlink(missing_ok=True)
