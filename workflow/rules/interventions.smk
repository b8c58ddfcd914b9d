"""What is done to trained networks: readouts replaced, layers rewound, trainings continued or begun on other labels."""


rule transfer:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/transfer/{{block}}.parquet",
    log:
        "results/logs/transfer/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.log",
    benchmark:
        "results/benchmarks/transfer/{dataset}/{model}/{noise}-{level}/{seeds}/{block}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(120),
    params:
        runs=runs_of,
        settings=transfer_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        version=versions.of_transfer(),
    script:
        "../scripts/transfer.py"


rule rewind:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/rewind.parquet",
    log:
        "results/logs/rewind/{dataset}/{model}/{noise}-{level}/{seeds}.log",
    benchmark:
        "results/benchmarks/rewind/{dataset}/{model}/{noise}-{level}/{seeds}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(480),
    params:
        runs=runs_of,
        settings=rewind_of,
        model=model_of,
        device=DEVICE,
        threads=THREADS,
        version=versions.of_rewind(),
    script:
        "../scripts/rewind.py"


rule edit:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/edit/epoch-{{epoch}}.parquet",
    log:
        "results/logs/edit/{dataset}/{model}/{noise}-{level}/{seeds}/epoch-{epoch}.log",
    benchmark:
        "results/benchmarks/edit/{dataset}/{model}/{noise}-{level}/{seeds}/epoch-{epoch}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(480),
    params:
        runs=runs_of,
        settings=edit_of,
        model=model_of,
        training=training_of,
        device=DEVICE,
        threads=THREADS,
        version=versions.of_edit(),
    script:
        "../scripts/edit.py"


rule relabel:
    input:
        data=f"{DATA}/meta.json",
        labels=f"{CELL}/labels.parquet",
        index=f"{CELL}/checkpoints.json",
    output:
        f"{CELL}/relabel.parquet",
    log:
        "results/logs/relabel/{dataset}/{model}/{noise}-{level}/{seeds}.log",
    benchmark:
        "results/benchmarks/relabel/{dataset}/{model}/{noise}-{level}/{seeds}.tsv"
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=more_memory(8000),
        runtime=more_minutes(480),
    params:
        runs=runs_of,
        settings=relabel_of,
        probe=relabelling_probe_of,
        model=model_of,
        training=training_of,
        device=DEVICE,
        threads=THREADS,
        version=version_of_relabelling,
    script:
        "../scripts/relabel.py"
