"""What analyses declare, and what repeats it: documents, schema file, rules, captions, lists of tables."""

import importlib.util
import json
import pkgutil
import re
import subprocess
import sys

import pytest
import yaml

from latentgen import analyses, columns, grid, keys, numbers, versions
from latentgen.analysis import Analysis, loaded
from latentgen.figures import catalogue
from latentgen.grid import configuration
from latentgen.numbers.results import Results
from repository import ROOT

ANALYSES = pytest.mark.parametrize("analysis", analyses.ALL, ids=lambda analysis: analysis.name)


def text(*path):
    return ROOT.joinpath(*path).read_text()


@pytest.fixture(scope="module")
def write():
    spec = importlib.util.spec_from_file_location("write", ROOT / "docs" / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Documents


def test_documents_and_the_schema_file_are_what_make_docs_writes(write):
    assert [str(path.relative_to(ROOT)) for path in write.outdated()] == []


def test_every_part_of_the_declarations_is_in_some_document(write):
    documents = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md")) + text("results", "README.md")
    documents += text("workflow", "report", "workflow.rst")
    assert [name for name in write.parts() if f"<!-- {name} -->" not in documents] == []


def test_a_part_of_another_name_is_an_error_and_other_text_stays(write):
    page = "before\n<!-- one -->\nold\n<!-- end -->\nafter\n"
    assert write.written(page, {"one": "new\n"}) == "before\n<!-- one -->\n\nnew\n\n<!-- end -->\nafter\n"
    with pytest.raises(KeyError):
        write.written(page, {"two": ""})


@ANALYSES
def test_documents_say_what_the_addition_of_an_analysis_reruns(analysis):
    page = text("docs", "configuration.md")
    section = page[page.index("## What an addition reruns") :]
    named = {"probes": "a probe in a family"}.get(analysis.name, f"`{analysis.name}`")
    assert named in section


def test_every_folder_of_configurations_is_in_the_documents():
    page = text("docs", "configuration.md")
    folders = {path.parent.name for path in (ROOT / "config").glob("*/*.yaml")}
    assert [folder for folder in sorted(folders) if f"config/{folder}/" not in page] == []


# Figures


def test_numbers_of_figures_are_those_of_their_names_and_used_once():
    figures = list(catalogue.FIGURES.values())
    moved = [int(name.removeprefix("fig")) for name in catalogue.MOVED]
    every = sorted([*(figure.number for figure in figures), *moved])
    assert every == list(range(1, len(every) + 1))
    assert [figure.name for figure in figures] == list(catalogue.FIGURES)


@pytest.mark.parametrize("name,home", catalogue.MOVED.items())
def test_figures_that_moved_say_where_they_are(name, home):
    with pytest.raises(ValueError, match=f"{name} is a row of panels of {home} now; ask for {home}"):
        catalogue.named(name)
    assert home in catalogue.FIGURES


def test_the_report_and_the_documents_name_every_figure():
    for page in (text("workflow", "report", "workflow.rst"), text("docs", "figures.md")):
        named = re.findall(r"^(?:- \*\*|### )Figure (\d+)\. ", page, flags=re.MULTILINE)
        assert list(map(int, named)) == [figure.number for figure in catalogue.FIGURES.values()]


@pytest.mark.parametrize("figure", catalogue.FIGURES.values(), ids=lambda figure: figure.name)
def test_captions_say_what_was_scored_and_what_was_chosen(figure):
    caption = figure.caption
    assert caption.shown and caption.scored and figure.needs and figure.title
    # A choice on test data is called so, and what is called so is said to be chosen.
    assert ("oracle" in " ".join(caption.chosen).lower()) == bool(caption.chosen)
    assert figure.marks or figure.name in ("fig10", "fig15", "fig18", "fig19", "fig20", "fig21", "fig26")
    for sentence in (*caption.shown, *caption.scored, *caption.chosen, *caption.caveats):
        assert sentence.endswith(".") and "  " not in sentence


@pytest.mark.parametrize("figure", catalogue.FIGURES.values(), ids=lambda figure: figure.name)
def test_figures_are_of_tables_columns_and_analyses_that_are_there(figure):
    assert set(figure.tables) | set(figure.also) | set(figure.rows) <= set(analyses.TABLES)
    assert set(figure.analyses) <= set(analyses.NAMED)
    assert callable(loaded(figure.draw))
    for name, filters in figure.rows.items():
        table = analyses.TABLES[name]
        named = {column for conditions in filters for column, _, _ in conditions}
        assert named <= set(table.schema.names)
        # A metric that nothing measures would leave the figure empty.
        for column, _, value in (condition for conditions in filters for condition in conditions):
            known = table.values.get(column)
            assert known is None or set(value if isinstance(value, list) else [value]) <= set(known)


def test_a_module_of_a_subject_hides_no_name_of_its_declarations():
    """Importing a module sets its name in the package, in place of what the package had imported under it."""
    for figure in catalogue.FIGURES.values():
        loaded(figure.draw)
    settings = {"probes": {}, "interventions": {}, "geometry": {"layers": "last", "simulated": None}}
    for figure in catalogue.FIGURES.values():
        assert figure.of_entry(settings) in (True, False) and figure.of_grid([]) in (True, False)


def test_the_numbers_behind_figures_are_there_without_what_draws():
    modules = [module.name for module in pkgutil.iter_modules(numbers.__path__, "latentgen.numbers.")]
    assert {"latentgen.numbers.results", "latentgen.numbers.rewinding"} <= set(modules)
    code = f"import sys, {', '.join(modules)}; print({{'matplotlib', 'seaborn'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


# Tables


def test_results_have_a_frame_for_every_table():
    results = Results.of({})
    for name, table in analyses.TABLES.items():
        assert list(getattr(results, name).columns) == table.schema.names
    with pytest.raises(AttributeError, match="no table 'prboes'; there are history, probes"):
        _ = results.prboes


@pytest.mark.parametrize("table", [columns.LABELS, columns.RECORDS, *analyses.TABLES.values()], ids=lambda t: t.name)
def test_columns_have_names_of_their_own_and_meanings(table):
    assert len(set(table.schema.names)) == len(table.schema.names)
    assert all(column.meaning for column in table.columns if column.name not in ("value",))
    assert set(table.values) <= {column.name for column in table.columns}


# Settings


@ANALYSES
def test_defaults_hold_what_their_schema_allows(analysis):
    from jsonschema import Draft202012Validator

    definitions = configuration.schema()["$defs"]
    for key in every(analysis.keys):
        if not key.required:
            schema = {**keys.schema([key])["properties"][key.name], "$defs": definitions}
            assert Draft202012Validator(schema).is_valid(key.default), key.name


def every(of):
    """Keys, those of mappings included."""
    for key in of:
        yield key
        yield from every(key.keys)


def test_defaults_of_the_configuration_hold_what_its_schema_allows():
    from jsonschema import Draft202012Validator

    top = {name: value for name, value in configuration.defaults(configuration.TOP).items() if value not in ([], {})}
    assert Draft202012Validator(configuration.schema()).is_valid(top)
    whole = {"defaults": configuration.entry_defaults()}
    assert list(Draft202012Validator(configuration.schema()).iter_errors(whole)) == []


def test_settings_are_hashed_as_they_are_written():
    """Of 1 and 1.0 the JSON differs, and so does every hash."""
    geometry = analyses.NAMED["geometry"]
    written = json.dumps(geometry.complete({"kappa": 1}), sort_keys=True)
    assert written == (
        '{"directions": 300, "features": 5000, "kappa": 1, "layers": "all", "points": 50, "restarts": 10, '
        '"simulated": null}'
    )
    assert json.dumps(geometry.complete({"simulated": {"dichotomies": 10}})["simulated"], sort_keys=True) == (
        '{"dichotomies": 10, "epochs": ["last"], "layers": "last"}'
    )


def test_defaults_are_copies():
    first, second = (analyses.NAMED["edit"].complete({}) for _ in range(2))
    first["layers"].append("fc1")
    assert second["layers"] == ["last"]


#: Settings of an entry that has all analyses, as JSON, and what hashes of its rows and of its network are made of.
FROZEN = {
    "edit": '{"bias": ["zero"], "epochs": [1], "layers": ["last"], "until": 3}',
    "geometry": '{"directions": 20, "features": 5000, "kappa": 0.0, "layers": "all", "points": 8, "restarts": 2, '
    '"simulated": {"dichotomies": 10, "epochs": ["last"], "layers": "last"}}',
    "gradients": "true",
    "embeddings": '{"examples": 100, "layers": ["last", "output"], "methods": ["pca"]}',
    "probes": '{"logistic": {"batch_norm": "running", "batch_size": 128, "epochs": 2, "family": "all", "fit_labels": '
    '"given", "kind": "logistic", "l2": 0.0, "learning_rate": 0.001, "random_state": 0, "score": ["test"], "solver": '
    '"adam", "tol": null}, "masc": {"batch_norm": "running", "family": "all", "fit_labels": "given", "kind": "masc", '
    '"max_features": null, "n_axes": null, "score": ["test"], "variance": 0.99}, "masc50": {"batch_norm": "running", '
    '"family": "all", "fit_labels": "given", "kind": "masc", "max_features": null, "n_axes": null, "score": ["test", '
    '"train"], "variance": 0.5}, "velpic": {"batch_norm": "running", "family": "all", "fit_labels": "given", "kind": '
    '"velpic", "max_features": null, "score": ["test"]}}',
    "relabel": '{"layer": "fc1", "probe": "velpic"}',
    "rewind": '{"batch_norm": ["reestimated"], "examples": 400, "rerandomisations": 1}',
    "transfer": '{"layers": "all"}',
}


def test_settings_of_the_smoke_grid_stay():
    cell = grid.load(yaml.safe_load(text("config", "smoke.yaml"))).cells[0]
    found = {
        analysis.name: json.dumps(settings, sort_keys=True) for analysis, settings in analyses.of_entry(cell.settings)
    }
    assert found == FROZEN
    assert cell.entry == "6a95df7f4a8a"


# Rules


@ANALYSES
def test_every_analysis_has_a_rule_that_the_snakefile_includes(analysis):
    rules = {path.name: path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    (file,) = [name for name, rule in rules.items() if f"\nrule {analysis.rule or analysis.name}:" in rule]
    assert f'rows("{analysis.name}")' in rules[file] and f'params_of("{analysis.name}")' in rules[file]
    assert f"workflow/rules/{file}" in text("Snakefile")


@ANALYSES
def test_entry_points_and_packages_are_there(analysis):
    entries = [entry for entry in (analysis.rows, analysis.cost.measure) if entry]
    assert all(callable(loaded(entry)) for entry in entries)
    assert versions.of(analysis, {})[0] == importlib.import_module(f"latentgen.{analysis.packages[0]}").VERSION


def test_declarations_import_nothing_that_computes():
    code = (
        "import sys; import latentgen.analyses, latentgen.plan; print({'torch', 'pandas', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_logs_lie_where_their_jobs_are_told_apart():
    stems = {analysis.name: analysis.stem for analysis in analyses.ALL}
    assert stems == {
        "probes": "{family}-{block}",
        "geometry": "{block}",
        "gradients": "{block}",
        "embeddings": "",
        "transfer": "{block}",
        "edit": "epoch-{epoch}",
        "relabel": "",
        "rewind": "",
    }


def test_all_are_analyses_of_names_of_their_own():
    assert all(isinstance(analysis, Analysis) for analysis in analyses.ALL)
    assert len(analyses.NAMED) == len(analyses.ALL)
