"""Probes on all layers of a block of checkpoints, one job for each family that shares its passes over the data."""


rule fit_probes:
    input:
        **TRAINED,
        dumps=f"{CELL}/dumps/{{block}}" if DUMP else [],
    output:
        rows("probes"),
    log:
        log_of("probes"),
    benchmark:
        benchmark_of("probes")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=120),
    params:
        **params_of("probes"),
        needed=PLAN.all_probes_are_in,
    script:
        "../scripts/analyse.py"
