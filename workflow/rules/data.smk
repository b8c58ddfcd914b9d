"""Images as arrays, and the labels that training is given."""


rule prepare_data:
    input:
        local_files_of_data,
    # Each output has a name and there is no benchmark, so that `--cache prepare_data` can be asked for.
    output:
        **{array: f"{DATA}/{array}.npy" for array in datasets.ARRAYS},
        meta=f"{DATA}/meta.json",
    log:
        "results/logs/data/{dataset}.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(4000),
        runtime=more_minutes(60),
    params:
        declared=PLAN.declared_dataset,
        name=PLAN.name_of_data,
        version=PLAN.version_of_data,
    script:
        "../scripts/prepare_data.py"


rule draw_labels:
    input:
        meta=f"{DATA}/meta.json",
    output:
        f"{CELL}/labels.parquet",
    log:
        "results/logs/labels/{dataset}/{model}/{noise}-{level}/{seeds}.log",
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(1000),
        runtime=more_minutes(10),
    params:
        runs=PLAN.runs,
        validation=PLAN.validation,
        network_code=PLAN.code_of_network,
        version=noise.VERSION,
    script:
        "../scripts/draw_labels.py"
