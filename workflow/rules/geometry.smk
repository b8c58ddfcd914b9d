"""Geometry of class manifolds on all layers of a block of checkpoints, in all views."""


rule geometry:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/geometry/{{block}}.parquet",
    log:
        "results/logs/geometry/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.log",
    benchmark:
        "results/benchmarks/geometry/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(240),
    params:
        runs=runs_of,
        settings=geometry_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        version=version_of_geometry,
    script:
        "../scripts/geometry.py"
