"""Gradients of the loss on right and on wrong labels, on all layers of a block of checkpoints."""


rule gradients:
    input:
        **TRAINED,
    output:
        rows("gradients"),
    log:
        log_of("gradients"),
    benchmark:
        benchmark_of("gradients")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=240),
    params:
        **params_of("gradients"),
    script:
        "../scripts/analyse.py"
