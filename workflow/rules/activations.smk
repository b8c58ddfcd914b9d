"""Dumps of activations: one layer on request, or all of a block for probes that are set to read dumps."""


rule dump_layer:
    input:
        data=f"{DATA}/meta.json",
        index=index_of_run,
    output:
        f"{RUN}/activations/epoch-{{epoch}}/{{layer}}.npy",
    log:
        "results/logs/activations/{dataset}/{model}/{noise}-{level}/{run}/epoch-{epoch}-{layer}.log",
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(30),
    params:
        run=columns_of_run,
        model=model_of_run,
        device=DEVICE,
        threads=THREADS,
        version=[activations.VERSION, models.VERSION],
    script:
        "../scripts/dump_layer.py"


rule dump_block:
    input:
        data=f"{DATA}/meta.json",
        index=f"{CELL}/checkpoints.json",
    output:
        directory(f"{CELL}/dumps/{{block}}"),
    log:
        "results/logs/dumps/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.log",
    benchmark:
        "results/benchmarks/dumps/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(120),
    params:
        runs=runs_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        version=[activations.VERSION, models.VERSION],
    script:
        "../scripts/dump_block.py"
