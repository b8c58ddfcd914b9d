"""Two-dimensional maps of a cell's first run, at all its saved epochs."""


rule maps:
    input:
        **TRAINED,
    output:
        rows("maps"),
    log:
        log_of("maps"),
    benchmark:
        benchmark_of("maps")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=120),
    params:
        **params_of("maps"),
    script:
        "../scripts/analyse.py"
