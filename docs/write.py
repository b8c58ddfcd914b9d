"""Write what the documents, the report and the schema file repeat of the declarations in the code: `make docs`.

A document has `<!-- NAME -->` and `<!-- end -->` around each part that is written here; in reStructuredText both are
comments. With `--check` nothing is written, and the exit status is 1 where something would change.
"""

import functools
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from latentgen import analyses, columns, grid
from latentgen.columns import Column, Table
from latentgen.figure import Figure
from latentgen.figures import catalogue
from latentgen.grid import configuration
from latentgen.keys import Key

ROOT = Path(__file__).parents[1]
SCHEMA = "workflow/schemas/config.schema.yaml"

_PART = re.compile(r"(<!-- ([a-z0-9_. ]+) -->\n)(.*?)((?:\.\. )?<!-- end -->\n)", re.DOTALL)
_ROW = "| {} |\n"
#: Configurations that are named beside a figure.
_MOST = 3


def parts() -> dict[str, str]:
    """Text of each part by its name."""
    tables = {table.name: table for table in (columns.LABELS, columns.RECORDS, *analyses.TABLES.values())}
    found = {"columns of a run": _columns(columns.RUN)}
    found |= {f"table {name}": _table(table) for name, table in tables.items()}
    groups = {"top level": configuration.TOP, "entry": configuration.ENTRY, "training": configuration.TRAINING}
    found |= {f"keys {name}": _keys(keys) for name, keys in groups.items()}
    for analysis in analyses.ALL:
        found |= _nested(analysis.key, analysis.keys)
    found["files of analyses"] = _rows(
        ("file in a cell", "what it is about"), ((f"`{analysis.files}`", analysis.about) for analysis in analyses.ALL)
    )
    found["keys of analyses"] = _rows(
        ("key", "default", "meaning"),
        ((f"`{analysis.name}`", _default_of(analysis), analysis.about) for analysis in _keys_of_entry()),
    )
    found["all figures"] = _rows(("figure", "title", "needs", "drawn by"), map(_figure, catalogue.FIGURES.values()))
    found["captions"] = "\n".join(map(_caption, catalogue.FIGURES.values()))
    found["figures of the report"] = "".join(
        f"- **{figure.heading}.** {figure.caption.shown[0].partition('. ')[0].removesuffix('.')}.\n"
        for figure in catalogue.FIGURES.values()
    )
    return found


def _figure(figure: Figure) -> tuple[str, ...]:
    drawn_by = [path for path, names in drawn().items() if figure.name in names]
    if "config.yaml" in drawn_by:
        drawn_by = ["the default grid"]
    elif len(drawn_by) > _MOST:
        drawn_by = [*drawn_by[: _MOST - 1], f"{len(drawn_by) - _MOST + 1} more"]
    link = f"[`{figure.name}`](#{_anchor(figure.heading)})"
    return link, figure.title, figure.needs, ", ".join(f"`{name}`" if "/" in name else name for name in drawn_by)


def _anchor(heading: str) -> str:
    """What sites call the place of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _caption(figure: Figure) -> str:
    return f"### {figure.heading}\n\n{figure.whole_caption.text()}"


@functools.cache
def drawn() -> dict[str, list[str]]:
    """Figures that each configuration of the repository draws, by its path."""
    found = {}
    for path in (ROOT / "config.yaml", ROOT / "config" / "smoke.yaml", *sorted((ROOT / "config").glob("*/*.yaml"))):
        cells = grid.load(yaml.safe_load(path.read_text()), [path]).cells
        found[str(path.relative_to(ROOT))] = catalogue.available(cells)
    return found


def _keys_of_entry() -> list[analyses.Analysis]:
    return [analysis for analysis in analyses.ALL if not analysis.intervention]


def _default_of(analysis: analyses.Analysis) -> str:
    if analysis.name in configuration.REQUIRED:
        return ""
    return "none" if analysis.keys else "`false`"


def _nested(name: str, keys: tuple[Key, ...]) -> dict[str, str]:
    found = {f"keys {name}": _keys(keys)} if keys else {}
    for key in keys:
        found |= _nested(f"{name}.{key.name}", key.keys)
    return found


def _keys(keys: Iterable[Key]) -> str:
    return _rows(("key", "default", "meaning"), ((f"`{key.name}`", _default(key), _meaning(key)) for key in keys))


def _meaning(key: Key) -> str:
    return "; ".join(filter(None, [key.meaning, _limits(key.schema)]))


def _default(key: Key) -> str:
    if key.required:
        return ""
    if key.default in ({}, []):
        return "none"
    return f"`{key.default if isinstance(key.default, str) else _flow(key.default)}`"


def _flow(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else json.dumps(value)


def _limits(schema: Mapping[str, Any]) -> str:
    """Limits of a number, in words."""
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']:,} to {schema['maximum']:,}"
    said = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"}
    return " and ".join(f"{word} {schema[name]:,}" for name, word in said.items() if name in schema)


def _table(table: Table) -> str:
    text = f"{table.about}\n\n{_columns(table.columns)}"
    for values in table.values.items():
        text += "\n" + _rows((f"`{values[0]}`", "meaning"), ((f"`{name}`", said) for name, said in values[1].items()))
    return text


def _columns(of: Iterable[Column]) -> str:
    return _rows(("column", "type", "meaning"), ((f"`{column.name}`", column.type, column.meaning) for column in of))


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(_ROW.format(" | ".join(line)).replace("|  |", "| |") for line in lines)


def written(text: str, known: Mapping[str, str]) -> str:
    """A document with its parts as they should be; raises ``KeyError`` on a part of another name."""
    return _PART.sub(lambda part: f"{part[1]}\n{known[part[2]]}\n{part[4]}", text)


def schema() -> str:
    """The JSON schema of a configuration as YAML, for editors."""
    head = "# Written by `make docs` from the declarations in the code, for editors; planning does not read it.\n"
    plain = json.loads(json.dumps(configuration.schema()))
    return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=116)


def outdated() -> dict[Path, str]:
    """What is to be written, by file."""
    known, wanted = parts(), {ROOT / SCHEMA: schema()}
    report = ROOT / "workflow" / "report" / "workflow.rst"
    for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md", report]:
        wanted[path] = written(path.read_text(), known)
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}


if __name__ == "__main__":
    changes = outdated()
    for path, text in changes.items():
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
    sys.exit(bool(changes) and "--check" in sys.argv[1:])
