"""One tidy table per analysis over the whole grid, the models' layers, the headline, and the published values."""


rule gather:
    input:
        parts=PLAN.parts_of_table,
        whole=PLAN.parts_of_all_tables,
    output:
        "results/tables/{table}.parquet",
    log:
        "results/logs/tables/{table}.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(2000),
        runtime=more_minutes(30),
    params:
        # A whole table has no such parameter, and so is not what a partial one is taken for later.
        **({"missing": PLAN.missing_from_table} if PLAN.partial else {}),
    script:
        "../scripts/gather.py"


rule count_weights:
    input:
        data=PLAN.data_files(),
        whole=PLAN.parts_of_all_tables,
    output:
        "results/tables/layers.parquet",
    log:
        "results/logs/tables/layers.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(4000),
        runtime=more_minutes(30),
    params:
        declared=GRID.models,
        of_data=PLAN.models_of_data(),
        version=models.VERSION,
    script:
        "../scripts/count_weights.py"


rule headline:
    input:
        PLAN.headline_tables(),
    output:
        parquet="results/tables/headline.parquet",
        csv=report(
            "results/tables/headline.csv",
            caption="../report/headline.rst",
            category="Tables",
            labels={"table": "headline"},
        ),
        text="results/tables/headline.txt",
    log:
        "results/logs/tables/headline.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(4000),
        runtime=more_minutes(30),
    params:
        missing=PLAN.missing_runs,
        version=figures.VERSION,
    script:
        "../scripts/headline.py"


rule published:
    input:
        probes="results/tables/probes.parquet",
        history="results/tables/history.parquet",
    output:
        parquet="results/tables/published.parquet",
        csv="results/tables/published.csv",
        text="results/tables/published.txt",
    log:
        "results/logs/tables/published.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(4000),
        runtime=more_minutes(30),
    params:
        version=published.VERSION,
    script:
        "../scripts/published.py"
