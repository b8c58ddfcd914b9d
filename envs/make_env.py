"""Makes .venv from the lock envs/requirements.txt; called through make_env.sh by ``make env``.

Standard library only, because it runs before anything is installed. A finished set-up leaves a stamp: where
it lies and digests of what it was made from. So a second call does nothing, a changed lock installs the
difference, and a set-up that was interrupted or moved is made afresh.

LATENTGEN_FREE_GB overrides how much free disk space the set-up asks for.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MADE_HERE = VENV / ".made-by-latentgen"  # tells our environments, which may be deleted, from the user's own
STAMP = VENV / ".latentgen-stamp"
BUILD = ROOT / "build"
LOG = BUILD / "make-env.log"
SOURCES = ("envs/requirements.txt", "pyproject.toml", "envs/make_env.py")

# The environment and the wheels being unpacked (the Linux torch comes with the CUDA libraries), in GB. pip's
# download cache takes the third column on top, where it lies on the same disk and is still empty.
SPACE = {"linux": (9.5, 3.0), "darwin": (2.5, 0.7)}

NETWORK = re.compile(
    r"connection broken by|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    r"name resolution|Name or service not known|nodename nor servname|Connection refused|"
    r"Network is unreachable"
)
FOREIGN = re.compile(r"DO NOT MATCH THE HASHES|Hashes are required in --require-hashes mode")
FULL = re.compile(r"No space left on device|Disk quota exceeded|Errno 28\b|Errno 122\b")


def main() -> int:
    try:
        with only_one():
            make()
    except KeyboardInterrupt:
        print("\ninterrupted; the next `make env` starts the set-up afresh", file=sys.stderr)
        return 130
    except OSError as error:
        if FULL.search(str(error)):
            return fail(disk_full())
        raise
    except Failure as failure:
        return fail(str(failure))
    return 0


class Failure(Exception):
    """A set-up that cannot go on, with the sentence that the user should read."""


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold the set-up's lock, which ends with the process, so that two set-ups never share one folder."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / "make-env.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another `make env` is at work; waiting for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        # Inherited by pip, so that a pip that outlives a killed set-up still keeps the next one waiting.
        os.set_inheritable(handle.fileno(), True)
        yield


def make() -> None:
    """Bring .venv to what the lock says, or raise ``Failure``."""
    wanted = stamp()
    before = STAMP.read_text() if STAMP.exists() else None
    works = PYTHON.exists() and can_run(PYTHON)
    if before == wanted and works:
        return
    moved = before is not None and before.splitlines()[0] != wanted.splitlines()[0]
    if MADE_HERE.exists() and (before is None or moved or not works):
        why = "was left unfinished" if before is None else "was moved" if moved else "has lost its Python"
        print(f"the environment {why}; making it afresh", flush=True)
        shutil.rmtree(VENV)
        before = None
    elif VENV.exists() and (moved or not works):
        # Not ours to delete.
        raise Failure(f"{VENV.name} was not made by `make env` and does not work here; move it away")

    started = time.monotonic()
    fresh = not VENV.exists()
    roomy = check_space() if fresh else True
    if fresh:
        VENV.mkdir()
        MADE_HERE.touch()
        print(f"making {VENV.name} with Python {sys.version.split()[0]}", flush=True)
        # Not sys.executable: that may be the Python of the environment which was just removed.
        if run([sys._base_executable, "-I", "-m", "venv", VENV]):
            raise Failure(explain(LOG.read_text(errors="replace")))
    STAMP.unlink(missing_ok=True)
    lock = ROOT / "envs" / "requirements.txt"
    touched = False
    try:
        for options in (["-r", build_tools(lock)], ["--no-build-isolation", "-r", lock]):
            try:
                pip("install", "--require-hashes", *options, cache=roomy)
            finally:
                touched |= "Installing collected packages" in LOG.read_text(errors="replace")
    except Failure:
        # pip downloads everything before it installs anything: an environment it did not touch stays good.
        if before is not None and not touched:
            STAMP.write_text(before)
        raise
    pip("install", "--no-index", "--no-deps", "--no-build-isolation", "-e", ROOT)
    temporary = STAMP.with_suffix(".new")
    temporary.write_text(wanted)
    os.replace(temporary, STAMP)
    print(f"{VENV.name} is ready after {time.monotonic() - started:.0f} s", flush=True)


def build_tools(lock: Path) -> Path:
    """A lock of setuptools alone, as ``lock`` has it.

    A package that comes as source is built with it. In an environment of the build's own, pip would take a setuptools
    that nobody has locked.
    """
    found = re.search(r"^setuptools==(?:.*\\\n)*.*\n", lock.read_text(), re.M)
    tools = BUILD / "build-tools.txt"
    tools.write_text(found[0] if found else "")
    return tools


def stamp() -> str:
    """Where the environment lies, then a digest of each file that it is made from."""
    digests = [hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in SOURCES]
    return "\n".join([str(VENV), *digests, ""])


def can_run(python: Path) -> bool:
    try:
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        return subprocess.run([python, "-I", "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def check_space() -> bool:
    """Whether there is room for pip's download cache too; ``Failure`` when there is none for .venv."""
    needed, cache = SPACE.get(sys.platform, SPACE["linux"])
    needed = float(os.environ.get("LATENTGEN_FREE_GB", needed))
    free = shutil.disk_usage(ROOT).free / 1e9
    print(f"the set-up needs about {needed:g} GB of disk space; {free:.1f} GB are free", flush=True)
    if free < needed:
        raise Failure(
            f"not enough disk space: {free:.1f} GB are free where {ROOT.name} lies, {needed:g} GB are "
            "needed. Make room or move the clone to a larger disk."
        )
    return free >= needed + cache


def pip(*arguments: object, cache: bool = True) -> None:
    """Run the environment's pip with its output in the log; ``Failure`` says what went wrong."""
    # The unpacking happens beside .venv, on the disk whose room was checked: the system's own is often small.
    temporary = BUILD / "make-env"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "PIP_USER": "0",
        # The lock is installed with hashes, as the command line says, and latentgen itself cannot have one.
        "PIP_REQUIRE_HASHES": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    options = [] if cache else ["--no-cache-dir"]
    command = [PYTHON, "-I", "-m", "pip", *arguments, "--progress-bar", "off", "--no-input", *options]
    try:
        code = run(command, environment)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if code:
        raise Failure(explain(LOG.read_text(errors="replace")))


def run(command: list[object], environment: dict[str, str] | None = None) -> int:
    """Run ``command``, its output in the log, a line on the terminal for each step that takes long."""
    with (
        open(LOG, "w") as log,
        subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            close_fds=False,
        ) as process,
    ):
        collected = 0
        for line in process.stdout:
            log.write(line)
            log.flush()
            if line.startswith("Collecting "):
                collected += 1
                if collected == 1 or collected % 25 == 0:
                    print(f"  fetching packages: {collected} … (log: build/{LOG.name})", flush=True)
            elif line.startswith("Installing collected packages") and collected:
                print("  unpacking them", flush=True)
    return process.returncode


def explain(text: str) -> str:
    """What the log ``text`` of a failed command means for the user: the remedy, then its last lines."""
    if FULL.search(text):
        return disk_full()
    own = f"The last lines of build/{LOG.name}:\n{last_lines(text)}"
    if FOREIGN.search(text):
        return (
            "a package is not the one that envs/requirements.txt locks: pip found a file with another digest, or no "
            "digest to compare with. A mirror, a proxy or a folder of PIP_FIND_LINKS that serves altered or own builds "
            f"does this; take the packages from elsewhere, or write the lock anew with envs/lock.sh.\n{own}"
        )
    if NETWORK.search(text):
        return (
            "no network: pip cannot reach its package index. Connect and call `make env` again; behind a "
            "proxy set HTTPS_PROXY; for a mirror set PIP_INDEX_URL to its address; without any network put "
            "the wheels of envs/requirements.txt into a folder and set PIP_NO_INDEX=1 and "
            f"PIP_FIND_LINKS=/that/folder.\n{own}"
        )
    if "No matching distribution found" in text:
        return (
            f"a package of envs/requirements.txt has no build for Python {sys.version.split()[0]} on "
            f"{os.uname().sysname} {os.uname().machine}, or the index in use lacks it. The lock is meant for "
            f"Python 3.11 to 3.13 on 64-bit Linux and Apple silicon: make env PYTHON=/path/to/python3.\n{own}"
        )
    return f"the set-up failed. {own}"


def disk_full() -> str:
    free = shutil.disk_usage(ROOT).free / 1e9
    return (
        f"the disk is full ({free:.1f} GB are free where {ROOT.name} lies), or your quota is used up. "
        "Make room, then call `make env` again: it starts afresh."
    )


def last_lines(text: str) -> str:
    return "\n".join(f"    {line[:200]}" for line in text.strip().splitlines()[-4:])


if __name__ == "__main__":
    sys.exit(main())
