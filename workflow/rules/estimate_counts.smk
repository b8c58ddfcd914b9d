"""What the rules of the estimate ask of the grid, only where an estimate is wanted."""

from functools import cache

from latentgen import estimate
from latentgen.estimate import counts


@cache
def pilots():
    return counts.pilots(GRID.cells, DUMP)


def plan_of(wildcards):
    return pilots()["{dataset}/{model}/{pilot}".format(**wildcards)]


def pilot_files(wildcards):
    return [f"results/pilots/{name}.json" for name in pilots()]


def workloads(wildcards):
    return counts.workloads(GRID.cells, DUMP)


def gathering(wildcards):
    return counts.gathering(GRID.cells)


def minutes_of_rules(wildcards):
    """Minutes that a first attempt of each rule's jobs may run, with what a profile or the command line says of it."""
    asked = {rule.name: rule.resources.get("runtime") for rule in workflow.rules}
    return {name: minutes.evaluate(None, attempt=1).value for name, minutes in asked.items() if minutes is not None}
