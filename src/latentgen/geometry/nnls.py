"""Non-negative least squares with one matrix and many right sides: the inner problem of the manifold analysis."""

import contextlib

import numpy as np
import scipy.optimize
from numba import njit

# Columns and targets have unit length where these are compared.

#: A column enters when its product with the residual is above this.
ENTERS = 1e-14
#: A column whose part outside the span of the passive ones is shorter than this counts as in that span.
DEPENDENT = 1e-12
#: The Gram matrix serves while the squares of such parts are above this.
INDEPENDENT = 1e-8
#: Largest violation of the optimality conditions that a solution may have, for each unit that it adds up.
TOLERANCE = 1e-11
#: The same for a solution by the Gram matrix.
GRAM_TOLERANCE = 1e-13

_ACTIVE, _PASSIVE, _SET_ASIDE = 0, 1, 2

# Products may be summed in any order and fused, so that they fill vector registers; the machine code, and with it the
# result, depends on the processor alone.
_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})


def solve(matrix, targets):
    """Return the non-negative combinations of columns that come nearest to the targets.

    The active-set method of Lawson and Hanson (1974, *Solving Least Squares Problems*, chapter 23), with a
    factorisation of the passive columns that is updated as they come and go. First it is the Cholesky factorisation of
    their Gram matrix, which is fast but squares the condition number, and the solution is refined once by its residual.
    What meets a column that nearly depends on others is solved by a QR factorisation of the columns themselves. There
    duplicates, columns in the span of others and more columns than rows are no special case: a column in the span of
    the passive ones cannot come nearer to the target and does not enter.

    Every solution is checked against the optimality conditions (Karush-Kuhn-Tucker) and, where it fails, found again:
    by QR, then by ``scipy.optimize.nnls``, which is checked alike. The projections are exact to rounding unless columns
    are nearly parallel: of columns at an angle below 1e-7, one may stay out that would come nearer to the target by
    less than that angle, in units of the target's length.

    Each problem is solved by itself, by the same arithmetic whatever the others and the number of threads. The
    interpreter lock is released meanwhile.

    Parameters
    ----------
    matrix : array-like of shape (d, m)
        Computed in float64.
    targets : array-like of shape (d, n)
        A column is a right side. Computed in float64.

    Returns
    -------
    multipliers : numpy.ndarray, (n, m) float64
        Row j minimises ``|targets[:, j] - matrix @ a|`` over a >= 0. Where several do, one of them: ``matrix @ a`` is
        unique even then.

    Raises
    ------
    ValueError
        For arrays that are not two-dimensional, of different numbers of rows, or with NaN or infinity.
    numpy.linalg.LinAlgError
        When no solver meets the optimality conditions.
    """
    matrix, targets = np.asarray(matrix, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if matrix.ndim != 2 or targets.ndim != 2 or len(matrix) != len(targets):
        raise ValueError(f"matrix (d, m) and targets (d, n) must share d, got shapes {matrix.shape}, {targets.shape}")
    if not (np.isfinite(matrix).all() and np.isfinite(targets).all()):
        raise ValueError("matrix and targets must be finite; remove NaN and infinity first")
    columns, lengths = _unit_rows(np.ascontiguousarray(matrix.T))
    sides, scales = _unit_rows(np.ascontiguousarray(targets.T))
    multipliers = np.zeros((len(sides), len(columns)))
    unsolved = np.arange(len(sides))
    for method, tolerance in ((_by_cholesky, GRAM_TOLERANCE), (_by_qr, TOLERANCE), (_by_scipy, TOLERANCE)):
        found = method(columns, sides[unsolved])
        violations = _violations(columns, sides[unsolved], found)
        multipliers[unsolved] = found
        failed = violations > tolerance
        if not failed.any():
            return multipliers / lengths * scales[:, None]
        unsolved = unsolved[failed]
    raise np.linalg.LinAlgError(
        f"target {unsolved[0]} (and {len(unsolved) - 1} more): the best solution violates the optimality conditions by"
        f" {violations[failed][0]:.1e}, allowed are {TOLERANCE:.0e}; remove columns that nearly cancel each other"
    )


@_compiled
def _unit_rows(rows):
    """Return rows divided by their lengths, zero rows as they are, and the divisors."""
    scaled, divisors = np.empty(rows.shape), np.ones(len(rows))
    for i in range(len(rows)):
        row = scaled[i]
        _copy(rows[i], row)
        largest = 0.0
        for j in range(len(row)):
            largest = max(largest, abs(row[j]))
        if largest > 0:
            # In two steps, so that no square over- or underflows.
            for j in range(len(row)):
                row[j] /= largest
            length = np.sqrt(_dot(row, row))
            for j in range(len(row)):
                row[j] /= length
            divisors[i] = largest * length
    return scaled, divisors


def _by_scipy(columns, sides):
    found = np.zeros((len(sides), len(columns)))
    for side, target in enumerate(sides):
        # Beyond its limit of iterations it has no solution, which is then found wanting.
        with contextlib.suppress(RuntimeError):
            found[side] = scipy.optimize.nnls(columns.T, target)[0]
    return found


@_compiled
def _violations(columns, sides, multipliers):
    """Return by how much each solution misses the optimality conditions, for each unit that it adds up (n,)."""
    (n, m), found = multipliers.shape, np.empty(len(sides))
    for side in range(n):
        a = multipliers[side]
        residual = sides[side].copy()
        scale, worst = 1.0, 0.0
        for j in range(m):
            if a[j] != 0:
                _add(-a[j], columns[j], residual)
                scale += abs(a[j])
        for j in range(m):
            gradient = _dot(columns[j], residual)
            worst = max(worst, -a[j], abs(gradient) if a[j] > 0 else gradient)
        found[side] = worst / scale
    return found


@_compiled
def _by_cholesky(columns, sides):
    """Solve for each row of ``sides`` (n, d), zeros where the Gram matrix of ``columns`` (m, d) does not serve."""
    n, (m, d) = len(sides), columns.shape
    multipliers = np.zeros((n, m))
    if m > 2 * d:  # hardly a set of passive columns would be independent
        return multipliers
    rank = min(m, d)
    gram = np.empty((m, m))
    for j in range(m):
        for i in range(j + 1):
            gram[i, j] = gram[j, i] = _dot(columns[j], columns[i])
    factor, inverse = np.empty((rank, rank)), np.empty(rank)
    coordinates, values, trial = np.empty(rank), np.empty(rank), np.empty(rank)
    passive = np.empty(rank, dtype=np.int64)
    is_active = np.empty(m, dtype=np.bool_)
    products, gradient, residual = np.empty(m), np.empty(m), np.empty(d)
    for side in range(n):
        target = sides[side]
        for j in range(m):
            products[j] = _dot(columns[j], target)
            is_active[j] = True
        _copy(products, gradient)
        size, solved = 0, False
        for _ in range(10 * m):
            entering, largest = -1, ENTERS
            for j in range(m):
                if is_active[j] and gradient[j] > largest:
                    entering, largest = j, gradient[j]
            if entering < 0:
                solved = True
                break
            if not _extend(gram[entering], products, entering, factor, inverse, size, passive, coordinates):
                break
            passive[size], values[size] = entering, 0.0
            is_active[entering] = False
            size += 1
            _solve_transposed(factor, inverse, coordinates, trial, size)
            while _step(values, trial, size) < size:
                for position in range(size - 1, -1, -1):
                    if values[position] <= 0:
                        is_active[passive[position]] = True
                        _shorten(position, factor, inverse, size, coordinates, passive, values)
                        size -= 1
                _solve_transposed(factor, inverse, coordinates, trial, size)
            _copy(products, gradient)
            for i in range(size):
                _add(-values[i], gram[passive[i]], gradient)
        if solved:
            _copy(target, residual)
            for i in range(size):
                _add(-values[i], columns[passive[i]], residual)
            for i in range(size):
                total = _dot(columns[passive[i]], residual)
                for j in range(i):
                    total -= factor[i, j] * coordinates[j]
                coordinates[i] = total * inverse[i]
            _solve_transposed(factor, inverse, coordinates, trial, size)
            for i in range(size):
                multipliers[side, passive[i]] = max(values[i] + trial[i], 0.0)
    return multipliers


@_compiled
def _extend(gram_row, products, entering, factor, inverse, size, passive, coordinates):
    """Add a row to the Cholesky factor, unless the column nearly depends on the passive ones."""
    if size == len(factor):
        return False
    square, coordinate = gram_row[entering], products[entering]
    for i in range(size):
        total = gram_row[passive[i]]
        for j in range(i):
            total -= factor[i, j] * factor[size, j]
        total *= inverse[i]
        factor[size, i] = total
        square -= total * total
        coordinate -= total * coordinates[i]
    if square <= INDEPENDENT or coordinate <= 0:
        return False
    factor[size, size] = np.sqrt(square)
    inverse[size] = 1 / factor[size, size]
    coordinates[size] = coordinate * inverse[size]
    return True


@_compiled
def _shorten(position, factor, inverse, size, coordinates, passive, values):
    """Take a row out of the Cholesky factor by Givens rotations."""
    for j in range(position, size - 1):
        passive[j], values[j] = passive[j + 1], values[j + 1]
        for i in range(j + 2):
            factor[j, i] = factor[j + 1, i]
    for i in range(position, size - 1):
        length = np.hypot(factor[i, i], factor[i, i + 1])
        cosine, sine = factor[i, i] / length, factor[i, i + 1] / length
        factor[i, i], inverse[i] = length, 1 / length
        for j in range(i + 1, size - 1):
            x, y = factor[j, i], factor[j, i + 1]
            factor[j, i], factor[j, i + 1] = cosine * x + sine * y, cosine * y - sine * x
        x, y = coordinates[i], coordinates[i + 1]
        coordinates[i], coordinates[i + 1] = cosine * x + sine * y, cosine * y - sine * x


@_compiled
def _solve_transposed(factor, inverse, side, found, size):
    for i in range(size):
        found[i] = side[i]
    for i in range(size - 1, -1, -1):
        value = found[i] * inverse[i]
        found[i] = value
        for j in range(i):
            found[j] -= value * factor[i, j]


@_compiled
def _by_qr(columns, sides):
    """Solve for each row of ``sides`` (n, d); ``columns`` (m, d) are of unit length or zero."""
    n, (m, d) = len(sides), columns.shape
    multipliers = np.zeros((n, m))
    rank = min(m, d)
    basis = np.empty((rank, d))
    factor = np.empty((rank, rank))
    coordinates, values, trial = np.empty(rank), np.empty(rank), np.empty(rank)
    passive = np.empty(rank, dtype=np.int64)
    state = np.empty(m, dtype=np.uint8)
    residual, part, projected = np.empty(d), np.empty(d), np.empty(rank)
    for side in range(n):
        target = sides[side]
        _copy(target, residual)
        state[:] = _ACTIVE
        size = 0
        for _ in range(10 * m):
            entering = _steepest(columns, residual, state)
            if entering < 0:
                break
            if not _append(columns[entering], basis, factor, size, part, projected, residual, coordinates):
                state[entering] = _SET_ASIDE
                continue
            passive[size], values[size] = entering, 0.0
            size += 1
            # What was set aside was so for this passive set alone.
            for j in range(m):
                if state[j] == _SET_ASIDE:
                    state[j] = _ACTIVE
            state[entering] = _PASSIVE
            _back_substitute(factor, coordinates, trial, size)
            while _step(values, trial, size) < size:
                for position in range(size - 1, -1, -1):
                    if values[position] <= 0:
                        state[passive[position]] = _ACTIVE
                        _remove(position, basis, factor, size, coordinates, passive, values)
                        size -= 1
                        _add(coordinates[size], basis[size], residual)
                _back_substitute(factor, coordinates, trial, size)
        _refine(columns, target, basis, factor, size, passive, values, residual, projected, trial)
        for position in range(size):
            multipliers[side, passive[position]] = max(values[position], 0.0)
    return multipliers


@_compiled
def _steepest(columns, residual, state):
    """Return the active column with the largest product with the residual, -1 where no column may enter."""
    found, threshold = -1, ENTERS
    for j in range(len(columns)):
        if state[j] == _ACTIVE:
            gradient = _dot(columns[j], residual)
            if gradient > threshold:
                threshold, found = gradient, j
    return found


@_compiled
def _append(column, basis, factor, size, part, projected, residual, coordinates):
    """Add a column to the factorisation unless it is in the span of the others or the target lies on its far side."""
    if size == len(basis):
        return False
    _copy(column, part)
    for i in range(size):
        projected[i] = 0.0
    length = 1.0
    while True:
        # Orthogonal to rounding once a pass leaves the length much as it was.
        before = length
        for i in range(size):
            product = _dot(basis[i], part)
            projected[i] += product
            _add(-product, basis[i], part)
        length = np.sqrt(_dot(part, part))
        if length <= DEPENDENT:
            return False
        if length > 0.5 * before:
            break
    for i in range(len(part)):
        basis[size, i] = part[i] / length
    coordinates[size] = _dot(basis[size], residual)
    if coordinates[size] <= 0:
        return False
    for i in range(size):
        factor[i, size] = projected[i]
    factor[size, size] = length
    _add(-coordinates[size], basis[size], residual)
    return True


@_compiled
def _step(values, trial, size):
    """Go from ``values`` towards ``trial`` as far as no value turns negative; return how many are still positive."""
    length, first = 1.0, -1
    for i in range(size):
        if trial[i] <= 0:
            reached = values[i] / (values[i] - trial[i]) if values[i] > 0 else 0.0
            if first < 0 or reached < length:
                length, first = reached, i
    if first < 0:
        for i in range(size):
            values[i] = trial[i]
        return size
    positive = 0
    for i in range(size):
        values[i] += length * (trial[i] - values[i])
        if i == first:
            values[i] = 0.0
        positive += values[i] > 0
    return positive


@_compiled
def _remove(position, basis, factor, size, coordinates, passive, values):
    """Take a column out of the factorisation by Givens rotations; the direction lost becomes the last of the basis."""
    for j in range(position, size - 1):
        passive[j], values[j] = passive[j + 1], values[j + 1]
        for i in range(j + 2):
            factor[i, j] = factor[i, j + 1]
    for i in range(position, size - 1):
        length = np.hypot(factor[i, i], factor[i + 1, i])
        cosine, sine = factor[i, i] / length, factor[i + 1, i] / length
        factor[i, i] = length
        _rotate(cosine, sine, factor[i, i + 1 : size - 1], factor[i + 1, i + 1 : size - 1])
        _rotate(cosine, sine, basis[i], basis[i + 1])
        _rotate(cosine, sine, coordinates[i : i + 1], coordinates[i + 1 : i + 2])


@_compiled
def _refine(columns, target, basis, factor, size, passive, values, residual, projected, trial):
    """Correct the solution on the passive columns once, by its residual as computed from the columns themselves."""
    _copy(target, residual)
    for j in range(size):
        _add(-values[j], columns[passive[j]], residual)
    for j in range(size):
        projected[j] = _dot(basis[j], residual)
    _back_substitute(factor, projected, trial, size)
    for j in range(size):
        values[j] += trial[j]


@_compiled
def _back_substitute(factor, side, found, size):
    for i in range(size - 1, -1, -1):
        found[i] = (side[i] - _dot(factor[i, i + 1 : size], found[i + 1 : size])) / factor[i, i]


@_compiled
def _rotate(cosine, sine, x, y):
    for i in range(len(x)):
        x[i], y[i] = cosine * x[i] + sine * y[i], cosine * y[i] - sine * x[i]


# Loops instead of assignments to slices, for which Numba compiles error messages, in seconds.
@_compiled
def _copy(x, y):
    for i in range(len(x)):
        y[i] = x[i]


@_compiled
def _add(factor, x, y):
    for i in range(len(x)):
        y[i] += factor * x[i]


@_compiled
def _dot(x, y):
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total
