"""What lies in a folder, and how two folders differ."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

#: Logs tell of times, benchmarks hold them.
UNLIKE = ("logs", "benchmarks")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder/results`` that two runs should have alike, by its path there."""
    results = folder / "results"
    files = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    return {
        str(path): hashlib.sha256((results / path).read_bytes()).hexdigest()
        for path in sorted(files)
        if path.parts[0] not in UNLIKE
    }


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Files that are absent, other than ``wanted``, or spare; `leftovers` are none of these."""
    absent = [f"{path} is absent" for path in wanted if path not in found]
    other = [f"{path} has other bytes" for path in wanted if found.get(path, wanted[path]) != wanted[path]]
    spare = [f"{path} is spare" for path in sorted(set(found) - set(wanted) - set(leftovers(found, wanted)))]
    return absent + other + spare


def leftovers(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Hidden files, or files in hidden folders, that only ``found`` has: what writers make beside a file."""
    hidden = [path for path in found if any(part.startswith(".") for part in Path(path).parts)]
    return sorted(set(hidden) - set(wanted))
