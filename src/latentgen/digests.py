"""Digests of files: what was written is what is read."""

import hashlib
import os
from pathlib import Path

from latentgen.progress import log


class Damaged(RuntimeError):
    """A file that does not hold what was written into it; the message names it, both digests and the remedy."""


def of_file(path: str | os.PathLike) -> str:
    """SHA-256 of the file's bytes, in hexadecimal digits; memory holds little of it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: str | os.PathLike, sha256: str, noted: str, remedy: str) -> bytes:
    """Bytes of a file, once they are known to have the digest ``sha256``.

    Parameters
    ----------
    noted : where that digest is kept, for the message; remedy : what to do, a sentence

    Raises `Damaged`, also where there is no such file.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise Damaged(f"{path}, which {noted} names, is missing. {remedy}") from error
    expect(path, hashlib.sha256(content).hexdigest(), sha256, noted, remedy)
    return content


def expect(what: str | os.PathLike, found: str, sha256: str, noted: str, remedy: str) -> None:
    """Raise `Damaged` unless the digest that was ``found`` is the one that is kept."""
    if found != sha256:
        raise Damaged(f"{what} is damaged: its SHA-256 is {found}, in {noted} it is {sha256}. {remedy}".strip())


def set_aside(path: str | os.PathLike, why: object) -> Path:
    """Rename a damaged file, with a warning, so that nothing takes it up again; returns what it is now."""
    aside = Path(f"{path}.damaged")
    os.replace(path, aside)
    log.warning("%s is set aside as %s: %s", path, aside.name, why)
    return aside
