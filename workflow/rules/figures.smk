"""Figures over the whole grid, each with the table behind it and its caption."""


rule draw_figure:
    input:
        tables=PLAN.tables_of_figure,
        data=PLAN.data_files(),
    output:
        pdf="results/figures/{figure}.pdf",
        png=report(
            "results/figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels=PLAN.labels_of_figure,
        ),
        svg="results/figures/{figure}.svg",
        parquet="results/figures/{figure}.parquet",
        csv="results/figures/{figure}.csv",
        md="results/figures/{figure}.md",
    log:
        "results/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join([*catalogue.FIGURES, *catalogue.MOVED]),
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(4000),
        runtime=more_minutes(30),
    params:
        settings=PLAN.settings_of_figure,
        models=PLAN.models_of_figure,
        caption=PLAN.caption,
        version=figures.VERSION,
    script:
        "../scripts/draw_figure.py"
