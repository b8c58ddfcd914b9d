"""Training of the runs of a cell."""


rule train:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
    output:
        history=f"{CELL}/history.parquet",
        records=f"{CELL}/records.parquet",
        checkpoints=directory(f"{CELL}/checkpoints"),
        index=f"{CELL}/checkpoints.json",
    log:
        "results/logs/train/{dataset}/{model}/{noise}-{level}/{seeds}.log",
    benchmark:
        "results/benchmarks/train/{dataset}/{model}/{noise}-{level}/{seeds}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=480),
    params:
        runs=PLAN.runs,
        model=PLAN.model,
        training=PLAN.training,
        saved_epochs=PLAN.saved_epochs,
        device=DEVICE,
        threads=THREADS,
        version=[training.VERSION, models.VERSION],
    script:
        "../scripts/train.py"
