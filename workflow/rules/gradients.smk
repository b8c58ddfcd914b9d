"""Gradients of the loss on right and on wrong labels, on all layers of a block of checkpoints."""


rule gradients:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/gradients/{{block}}.parquet",
    log:
        "results/logs/gradients/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.log",
    benchmark:
        "results/benchmarks/gradients/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(240),
    params:
        runs=runs_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        version=versions.of_gradients(),
    script:
        "../scripts/gradients.py"
