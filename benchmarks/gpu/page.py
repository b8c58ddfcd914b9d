"""What `benchmarks/gpu.sh OUT` measured as tables of docs/gpu.md, below the line that names this command.

    python -m benchmarks.gpu.page OUT [docs/gpu.md]

Without a page the tables are printed.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import pandas as pd

MARK = "<!-- Written by `python -m benchmarks.gpu.page OUT docs/gpu.md`: -->"


class Section(NamedTuple):
    """A table of the rows of ``parts`` whose quantity matches a pattern.

    One line for each value of ``lines`` and one column for each value of ``columns``, or one that counts rows.
    """

    title: str
    parts: tuple[str, ...]
    quantity: str
    lines: tuple[str, ...]
    columns: str


SECTIONS = [
    Section("Machine", ("machine",), ".", ("method", "quantity"), "subject"),
    Section("Tests marked `gpu`", ("tests",), ".", ("method",), ""),
    Section("Two equal calls of the smoke grid: equal files", ("grid",), "equal files", ("method",), "quantity"),
    Section(
        "The smoke grid on the device and on the CPU", ("grid",), "rows of both|difference", ("method",), "quantity"
    ),
    Section("Equal runs (1: equal bytes, 0: not)", ("determinism",), "equal|time", ("subject", "method"), "quantity"),
    Section("Two trainings with `--resources gpu=2`", ("jobs",), ".", ("method",), "quantity"),
    Section(
        "Updates a second, of all runs together",
        ("training", "streams", "compiled"),
        "updates a second",
        ("method",),
        "subject",
    ),
    Section("Difference of weights from single steps", ("training",), "difference", ("method",), "subject"),
    Section("MASC and VeLPIC, ten classes", ("probes",), "^(?!a class$|.*error)", ("method", "quantity"), "subject"),
    Section("Products and eigenproblems, seconds a class", ("probes",), "a class$", ("method",), "subject"),
    Section("Analyses of one checkpoint, seconds", ("analyses",), "a checkpoint", ("method",), "subject"),
    Section("Hours of the published grids", ("hours",), ".", ("subject", "method"), "quantity"),
]


def tables(out: Path) -> str:
    """All sections that ``out`` has rows for, as Markdown."""
    found = []
    for section in SECTIONS:
        files = [out / f"{part}.parquet" for part in section.parts]
        frames = [pd.read_parquet(path) for path in files if path.exists()]
        if not frames:
            continue
        rows = pd.concat(frames)
        rows = rows[rows["quantity"].str.contains(section.quantity)]
        if len(rows):
            made = table(rows, section) if section.columns else counts(rows, section)
            found.append(f"### {section.title}\n\n{made}\n")
    return "\n".join(found) or "Nothing has been measured.\n"


def table(rows: pd.DataFrame, section: Section) -> str:
    """One table, in the order in which the rows were written; a unit stands in the head where a column has one."""
    columns = {name: set(part["unit"]) - {""} for name, part in rows.groupby(section.columns, sort=False)}
    common = {name: units.pop() if len(units) == 1 else "" for name, units in columns.items()}
    heads = [name if unit in ("", name) else f"{name} ({unit})" for name, unit in common.items()]
    body = []
    for key, group in rows.groupby(list(section.lines), sort=False):
        cells = dict.fromkeys(common, "")
        for row in group.itertuples():
            name = getattr(row, section.columns)
            cells[name] = spread(row) if common[name] else f"{spread(row)} {row.unit}".strip()
        body.append([*key, *cells.values()])
    return markdown([*section.lines, *heads], body)


def counts(rows: pd.DataFrame, section: Section) -> str:
    """How many rows each line stands for."""
    return markdown(
        [*section.lines, "number"], [[*key, f"{len(group)}"] for key, group in rows.groupby(list(section.lines))]
    )


def markdown(heads: list[str], body: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *body])


def spread(row) -> str:
    """Median, and least and most where they are more than 5 % apart."""
    if row.most - row.least <= 0.05 * abs(row.value):
        return number(row.value)
    return f"{number(row.value)} ({number(row.least)} to {number(row.most)})"


def number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("page", type=Path, nargs="?")
    chosen = parser.parse_args()
    if chosen.page is None:
        print(tables(chosen.out))
        return
    prose = chosen.page.read_text().partition(MARK)[0]
    chosen.page.write_text(f"{prose}{MARK}\n\n{tables(chosen.out)}")


if __name__ == "__main__":
    main()
