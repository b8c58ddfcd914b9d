"""Two-dimensional embeddings of a cell's first run, at all its saved epochs."""


rule embeddings:
    input:
        **TRAINED,
    output:
        rows("embeddings"),
    log:
        log_of("embeddings"),
    benchmark:
        benchmark_of("embeddings")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=120),
    params:
        **params_of("embeddings"),
    script:
        "../scripts/analyse.py"
