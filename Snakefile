"""latentgen: from a grid of label-corrupted trainings to probes, tables, figures and a report."""

from snakemake.utils import min_version

min_version("9.0")


# A configuration file given on the command line is whole: it replaces this one rather than merging into it.
if not workflow.overwrite_configfiles and "grid" not in config and "grids" not in config:

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/caller.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/gradients.smk"
include: "workflow/rules/embeddings.smk"
include: "workflow/rules/interventions.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/estimate.smk"


# The default target, as the first rule of this file; one that said so itself would be another workflow's default too.
rule all:
    input:
        PLAN.accepted_models(),
        PLAN.figure_files(),
        "results/tables/headline.txt",
