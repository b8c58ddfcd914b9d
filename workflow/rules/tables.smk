"""One tidy table per analysis over the whole grid, and the headline."""


rule gather_history:
    input:
        history_files(),
    output:
        "results/tables/history.parquet",
    log:
        "results/logs/tables/history.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(2000),
        runtime=more_minutes(30),
    script:
        "../scripts/gather.py"


use rule gather_history as gather_probes with:
    input:
        probe_files(),
    output:
        "results/tables/probes.parquet",
    log:
        "results/logs/tables/probes.log",


rule headline:
    input:
        probes="results/tables/probes.parquet",
        history="results/tables/history.parquet",
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
        version=figures.VERSION,
    script:
        "../scripts/headline.py"
