"""Limits and ticks of y axes: intervals count, but do not flatten what they belong to."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, Locator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from latentgen.figures.page import spread, style

# Decades of a symmetric axis that are logarithmic, besides the one that its largest value has begun.
_DECADES = 2


def held(low: float, high: float, bounds: pd.DataFrame, least: float) -> tuple[float, float]:
    """Limits that hold ``low`` to ``high``, and intervals up to half of that, but at least ``least``, to either side.

    ``bounds`` : columns ``low, high``, the ends of the intervals
    """
    room = max((high - low) / 2, least)
    # Of bounds that are null, as those of one seed are, the smaller and the larger is what is held anyway.
    return max(low - room, min(low, bounds["low"].min())), min(high + room, max(high, bounds["high"].max()))


def percent_limits(points: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis of accuracies, in percent, that holds means and runs (fractions).

    Intervals count up to half of what the means span, so that marks stay apart; longer ones are cut.
    """
    marks = spread.marks(points)
    low, high = held(marks.min(), marks.max(), spread.bounds(points), 0.01)
    low, high = max(low, 0.0), min(high, 1.0)
    margin = 0.05 * (high - low) + 0.003
    return 100 * (low - margin), 100 * (high + margin)


def percent_axis(
    points: pd.DataFrame, *, reference: float | None = None, signed: bool = False
) -> Callable[[Axes], None]:
    """Axis of percent, or of ``signed`` differences in points, that holds means, runs and ``reference``, a grey line.

    Bands count up to half of what the lines span, so that they do not flatten them all. Values are fractions.
    """
    drawn = 100 * spread.marks(points)
    line = drawn.min() if reference is None else 100 * reference
    low, high = held(min(drawn.min(), line), max(drawn.max(), line), 100 * spread.bounds(points), 1.0)
    floor, ceiling = (-100.0, 100.0) if signed else (0.0, 100.0)
    margin = 0.04 * (high - low) + 0.5
    low, high = max(low, floor) - margin, min(high, ceiling) + margin

    def dress(ax: Axes) -> None:
        ax.set_ylim(low, high)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        if reference is not None:
            ax.axhline(100 * reference, **style.REFERENCE)

    return dress


def limits(bounds: pd.DataFrame, marks: Sequence[float]) -> tuple[float, float]:
    """Limits that hold ``marks``, and of the intervals with these ``bounds`` what `held` says."""
    low, high = held(min(marks), max(marks), bounds, 0.05 * abs(max(marks)))
    margin = 0.06 * (high - low) + 0.01 * abs(high)
    return low - margin, high + margin


def plain_axis(points: pd.DataFrame, marks: Sequence[float] = (), *, log: bool) -> Callable[[Axes], None]:
    """Axis that holds means, runs and ``marks``, a ``log`` one the positive ones, with plain numbers at its ticks."""
    bounds, marks = spread.bounds(points), [*spread.marks(points), *marks]
    if log:
        low, high = limits(np.log10(bounds.where(bounds > 0)), np.log10([mark for mark in marks if mark > 0]))
        low, high = 10 ** (low - 0.02), 10 ** (high + 0.02)
    else:
        low, high = limits(bounds, marks)

    def dress(ax: Axes) -> None:
        ax.set_yscale("log" if log else "linear")
        ax.set_ylim(low, high)
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        ticks = log_locator(low, high) if log else None
        # One label does not tell the scale of a logarithmic axis, and nine are too many.
        if ticks is None or not 2 <= len(_within(ticks, low, high)) <= 5:
            ticks = MaxNLocator(4, steps=[1, 2, 5, 10])
        ax.yaxis.set_major_locator(ticks)

    return dress


def _within(locator: Locator, low: float, high: float) -> list[float]:
    return [tick for tick in locator.tick_values(low, high) if low <= tick <= high]


def log_locator(low: float, high: float) -> LogLocator:
    """Powers of ten on an axis from ``low`` to ``high``, or, where there are fewer than two, multiples of them."""
    for steps in ((1,), (1, 3), (1, 2, 5)):
        locator = LogLocator(subs=steps)
        if len(_within(locator, low, high)) > 2:
            break
    return locator


def log_axis(points: pd.DataFrame, marks: Sequence[float] = ()) -> Callable[[Axes], None]:
    """Logarithmic axis that holds means, runs and ``marks``, all positive, with ticks in powers of ten."""
    drawn = np.log10([*spread.marks(points), *marks])
    low, high = held(drawn.min(), drawn.max(), np.log10(spread.bounds(points)), 0.15)
    margin = 0.06 * (high - low) + 0.03
    low, high = 10 ** (low - margin), 10 ** (high + margin)

    def dress(ax: Axes) -> None:
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        locator = log_locator(low, high)
        locator.set_params(numticks=100)
        ticks = _within(locator, low, high)
        _power_ticks(ax, ticks[:: -(-len(ticks) // 5) or 1])

    return dress


def symmetric_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    """Axis symmetric about zero, logarithmic but between its ticks beside zero, where it is linear.

    It holds all means and runs, and intervals up to three times the largest of them.
    """
    largest = spread.marks(points).abs().max() or 1.0
    bounds = spread.bounds(points).abs().max(axis=None)
    limit = 1.3 * np.fmax(largest, np.minimum(3 * largest, bounds))
    exponent = int(np.floor(np.log10(largest)))

    def dress(ax: Axes) -> None:
        ax.set_yscale("symlog", linthresh=10.0 ** (exponent - _DECADES), linscale=0.9)
        ax.set_ylim(-limit, limit)
        decades = [10.0**k for k in range(exponent - _DECADES, exponent + 1)]
        _power_ticks(ax, [*(-decade for decade in reversed(decades)), 0.0, *decades])
        ax.axhline(0, **style.REFERENCE)

    return dress


def cosine_axis(_points: pd.DataFrame) -> Callable[[Axes], None]:
    """Axis from -1 to 1, with a line at zero."""

    def dress(ax: Axes) -> None:
        ax.set_ylim(-1.06, 1.06)
        ax.set_yticks([-1, -0.5, 0, 0.5, 1])
        ax.axhline(0, **style.REFERENCE)

    return dress


def _power_ticks(ax: Axes, ticks: Sequence[float]) -> None:
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_major_formatter(lambda tick, _: _power(tick))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())


def _power(value: float) -> str:
    """``value`` in powers of ten, as 3 x 10^-4 typeset."""
    if value == 0:
        return "0"
    digit, exponent = f"{value:.0e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    digit = {"1": "", "-1": "-"}.get(digit, rf"{digit}{{\cdot}}")
    return f"${digit}{power}$"
