"""Dumps of activations: one layer on request, or all of a block for probes that are set to read dumps."""


rule dump_layer:
    input:
        data=f"{DATA}/meta.json",
        index=PLAN.index_of_run,
    output:
        f"{RUN}/activations/epoch-{{epoch}}/{{layer}}.npy",
    log:
        "results/logs/activations/{dataset}/{model}/{noise}-{level}/{run}/epoch-{epoch}-{layer}.log",
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=30),
    params:
        run=PLAN.columns_of_run,
        model=PLAN.model_of_run,
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
        **computing(minutes=120),
    params:
        runs=PLAN.runs,
        model=PLAN.model,
        device=DEVICE,
        threads=THREADS,
        version=[activations.VERSION, models.VERSION],
    script:
        "../scripts/dump_block.py"
