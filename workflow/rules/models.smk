"""Every network of the grid, tried on two images before any is trained.

Verdicts are no input of trainings: one more input would compute again whatever is there. These jobs come first by their
priority, and a training looks for the verdict on its own network, or else tries it itself.
"""


rule try_models:
    input:
        data=f"{DATA}/meta.json",
    output:
        "results/models/{dataset}.json",
    log:
        "results/logs/models/{dataset}.log",
    priority: 100
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        mem_mb=more_memory(8000),
        runtime=more_minutes(30),
    params:
        asked=PLAN.asked_of_models,
        threads=THREADS,
        version=[verdicts.VERSION, models.VERSION],
    script:
        "../scripts/try_models.py"


rule accept_models:
    input:
        "results/models/{dataset}.json",
    output:
        "results/models/{dataset}.txt",
    log:
        "results/logs/models/{dataset}-accepted.log",
    priority: 100
    conda:
        "../../envs/latentgen.yaml"
    resources:
        mem_mb=more_memory(1000),
        runtime=more_minutes(10),
    params:
        version=verdicts.VERSION,
    script:
        "../scripts/accept_models.py"


rule list_models:
    input:
        [f"results/models/{dataset}.json" for dataset in GRID.datasets],
    output:
        "results/models.txt",
    log:
        "results/logs/models.log",
    localrule: True
    conda:
        "../../envs/latentgen.yaml"
    params:
        version=verdicts.VERSION,
    script:
        "../scripts/list_models.py"
