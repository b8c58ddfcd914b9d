"""Probes on all layers of a block of checkpoints, one job for each family that shares its passes over the data."""


rule fit_probes:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
        dumps=f"{CELL}/dumps/{{block}}" if DUMP else [],
    output:
        f"{CELL}/probes/{{family}}/{{block}}.parquet",
    log:
        "results/logs/probes/{dataset}/{model}/{noise}-{level}/{seeds}/{family}-{block}.log",
    benchmark:
        "results/benchmarks/probes/{dataset}/{model}/{noise}-{level}/{seeds}/{family}-{block}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(120),
    params:
        runs=runs_of,
        family=family_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        needed=all_probes_are_in,
        version=version_of_family,
    script:
        "../scripts/fit_probes.py"
