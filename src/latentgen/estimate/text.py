"""An estimate in words."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from latentgen.estimate.totals import BASES

#: Jobs at a time for which hours are told.
SLOTS = (1, 8, 100)


def estimate_text(frame: pd.DataFrame, minutes: Mapping[str, int | None], places: Iterable[str]) -> str:
    """`latentgen.estimate.totals.estimate` as plain ASCII text of at most 120 columns.

    Parameters
    ----------
    minutes : that a job of each rule may run at first, None where there is no limit
    places : what the pilots ran on
    """
    rules = frame[frame["rule"].notna()]
    seconds, chain = _sum(frame, "seconds"), _sum(frame, "chain_seconds")
    timed = ", ".join(sorted(set(places)))
    lines = [f"What the whole grid takes, from nothing, timed on {timed}:", "", *_aligned(_by_rule(rules, minutes)), ""]
    checkpoints = frame[frame["quantity"] == "checkpoints"]
    lines.append(
        f"{_sum(frame, 'runs'):,.0f} runs (exact), {checkpoints['value'].sum():,.0f} checkpoints "
        f"({_weakest(checkpoints['basis'])})"
    )
    lines.append(
        f"{_time(_sum(frame, 'processor_seconds'))} of processors, {_time(_sum(frame, 'gpu_seconds'))} of GPUs"
    )
    for slots in SLOTS:
        least, most = max(seconds / slots, chain), seconds / slots + chain * (1 - 1 / slots)
        span = _time(least) if slots == 1 else f"{_time(least)} to {_time(most)}"
        lines.append(f"{slots:>3} job{'s' if slots > 1 else ' '} at once: {span}")
    lines += [f"longest sequence of jobs that wait for each other: {_time(chain)}", "", "On disk:", ""]
    files = frame[frame["quantity"] == "bytes"].groupby("kind", sort=False).agg({"value": "sum", "basis": _weakest})
    table = [[kind, _bytes(row.value), row.basis] for kind, row in files.iterrows()]
    lines += _aligned([*table, ["together", _bytes(files["value"].sum()), _weakest(files["basis"])]])
    warnings = list(_warnings(rules, minutes))
    lines += ["", *warnings] if warnings else []
    return "\n".join([*lines, "", *_NOTES]) + "\n"


_NOTES = [
    "exact: follows from the configuration. measured: one of each was timed or weighed, times an exact number.",
    "upper bound: the same, for trainings that do not stop before their last epoch, or with what a first training",
    "takes in place of a later one. assumed: as on small grids. Seconds hold for the machine, and its other work, as",
    "the pilots found them. Left out: logs, benchmarks, the original files of data sets.",
]


def _by_rule(rules: pd.DataFrame, minutes: Mapping[str, int | None]) -> list[list[str]]:
    table = [["rule", "jobs", "each", "together", "longest", "time limit", "times are"]]
    for rule, rows in rules.groupby("rule", sort=False):
        jobs, seconds = _sum(rows, "jobs"), _sum(rows, "seconds")
        longest = rows[rows["quantity"] == "longest_seconds"]["value"].max()
        basis = _weakest(rows[rows["quantity"] == "seconds"]["basis"])
        limit = minutes.get(rule)
        times = [_time(seconds / jobs), _time(seconds), _time(longest), _time(60 * limit) if limit else "-"]
        row = [f"{jobs:,.0f}", *times]
        table.append([rule, *row, basis])
    return [*table, ["together", f"{_sum(rules, 'jobs'):,.0f}", "", _time(_sum(rules, "seconds")), "", "", ""]]


def _warnings(rules: pd.DataFrame, minutes: Mapping[str, int | None]) -> Iterable[str]:
    longest = rules[rules["quantity"] == "longest_seconds"].groupby("rule", sort=False)["value"].max() / 60
    short = {rule: needed for rule, needed in longest.items() if minutes.get(rule) and needed > minutes[rule]}
    for rule, needed in short.items():
        yield f"WARNING: a job of {rule} takes about {needed:,.0f} minutes; a cluster stops it after {minutes[rule]:,}."
    if short:
        asked = " ".join(f"{rule}:runtime={_asked(needed)}" for rule, needed in short.items())
        yield f"         Add (it replaces the set-resources of a profile): --set-resources {asked}"


def _asked(minutes: float) -> int:
    """Half as much again, in whole hours."""
    return -int(-1.5 * minutes // 60) * 60


def _sum(frame: pd.DataFrame, quantity: str) -> float:
    return frame[frame["quantity"] == quantity]["value"].sum()


def _weakest(bases) -> str:
    return max(bases, key=BASES.index)


def _time(seconds: float) -> str:
    size, unit = (1, "s") if seconds < 99.5 else (60, "min") if seconds < 7200 else (3600, "h")
    value = seconds / size
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB" if size < 1000 else f"{size:,.0f} TB"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1

    def aligned(row: Sequence[str]) -> str:
        parts = [part.ljust(widths[i]) if i in (0, last) else part.rjust(widths[i]) for i, part in enumerate(row)]
        return "  ".join(parts).rstrip()

    return [aligned(row) for row in rows]
