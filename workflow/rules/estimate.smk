"""What the grid will take, from a short run of each of its networks, before any of it is started."""


include: "estimate_counts.smk"


rule pilot:
    input:
        data=f"{DATA}/meta.json",
    output:
        "results/pilots/{dataset}/{model}/{pilot}.json",
    log:
        "results/logs/pilots/{dataset}/{model}/{pilot}.log",
    benchmark:
        "results/benchmarks/pilots/{dataset}/{model}/{pilot}.tsv"
    wildcard_constraints:
        pilot="[0-9a-f]{12}",
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=120),
    params:
        plan=plan_of,
        device=DEVICE,
        threads=THREADS,
        version=[estimate.VERSION, training.VERSION, models.VERSION],
    script:
        "../scripts/pilot.py"


rule estimate:
    input:
        pilot_files,
    output:
        text="results/estimate.txt",
        parquet="results/estimate.parquet",
    log:
        "results/logs/estimate.log",
    localrule: True
    conda:
        "../../envs/latentgen.yaml"
    params:
        workloads=workloads,
        gathering=gathering,
        minutes=minutes_of_rules,
        threads=THREADS,
        version=estimate.VERSION,
    script:
        "../scripts/estimate.py"
