"""Figures over the whole grid, each with the table behind it."""


rule draw_figure:
    input:
        tables=tables_of_figure,
        data=data_files(),
    output:
        pdf="results/figures/{figure}.pdf",
        png=report(
            "results/figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels=figure_title,
        ),
        svg="results/figures/{figure}.svg",
        parquet="results/figures/{figure}.parquet",
        csv="results/figures/{figure}.csv",
    log:
        "results/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(catalogue.FIGURES),
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(4000),
        runtime=more_minutes(30),
    params:
        settings=settings_of_figure,
        models=models_of_figure,
        missing=missing_runs,
        version=figures.VERSION,
    script:
        "../scripts/draw_figure.py"
