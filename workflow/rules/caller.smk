"""Where this call runs, for `make unlock` to find when it was killed. Jobs run no hooks."""

import os
import socket

CALLER = Path(".snakemake", "caller")


onstart:
    CALLER.write_text(f"{socket.gethostname()} {os.getpid()}\n")


onsuccess:
    CALLER.unlink(missing_ok=True)


onerror:
    CALLER.unlink(missing_ok=True)
