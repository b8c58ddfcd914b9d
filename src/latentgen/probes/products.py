"""Products of activations with themselves, as exact as their type and as fast as the device allows."""

import contextlib
import functools
from pathlib import Path

import numpy as np
import torch

from latentgen.probes.arrays import chunks

#: Columns of a large product that are computed at once: a product then takes a fraction of the matrix's memory.
PANEL = 2048


def self_product(matrix):
    """Return ``matrix.T @ matrix`` in the dtype of ``matrix``."""
    if matrix.device.type == "cpu":
        # NumPy sees the symmetry and calls BLAS syrk, twice as fast as the general product.
        array = matrix.numpy()
        return _by_numpy(array.T, array)
    with full_precision():
        return matrix.T @ matrix


def product(left, right):
    """Return ``left @ right`` of two matrices of one dtype and device, without TF32."""
    if left.device.type == "cpu" and _numpy_is_faster():
        return _by_numpy(left.numpy(), right.numpy())
    with full_precision():
        return left @ right


def _by_numpy(left, right):
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found in the result
        return torch.from_numpy(left @ right)


@functools.cache
def _numpy_is_faster():
    """Whether this is an AMD processor, on which NumPy's OpenBLAS multiplies up to 1.5 times as fast as torch's MKL."""
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def add_self_product(total, rows):
    """Add ``rows.T @ rows`` to ``total``, a panel of columns and its mirror image at a time."""
    for panel in chunks(rows.shape[1], PANEL):
        total[panel, panel] += self_product(rows[:, panel])
        if panel.start:
            with full_precision():
                product = rows[:, panel].T @ rows[:, : panel.start]
            total[panel, : panel.start] += product
            total[: panel.start, panel] += product.T


@contextlib.contextmanager
def full_precision():
    """Forbid TF32 products, which a training may have allowed: they visibly bend the subspaces."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
