"""Geometry of class manifolds on all layers of a block of checkpoints, in all views."""


rule geometry:
    input:
        **TRAINED,
    output:
        rows("geometry"),
    log:
        log_of("geometry"),
    benchmark:
        benchmark_of("geometry")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=240),
    params:
        **params_of("geometry"),
    script:
        "../scripts/analyse.py"
