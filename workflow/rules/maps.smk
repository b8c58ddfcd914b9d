"""Two-dimensional maps of a cell's first run, at all its saved epochs."""


rule maps:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/maps.parquet",
    log:
        "results/logs/maps/{dataset}/{model}/{noise}-{level}/{seeds}.log",
    benchmark:
        "results/benchmarks/maps/{dataset}/{model}/{noise}-{level}/{seeds}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(120),
    params:
        runs=runs_of,
        settings=maps_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        version=version_of_maps,
    script:
        "../scripts/maps.py"
