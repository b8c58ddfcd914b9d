"""What is done to trained networks: readouts replaced, layers rewound, trainings continued or begun on other labels."""


rule transfer:
    input:
        **TRAINED,
    output:
        rows("transfer"),
    log:
        log_of("transfer"),
    benchmark:
        benchmark_of("transfer")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=120),
    params:
        **params_of("transfer"),
    script:
        "../scripts/analyse.py"


rule rewind:
    input:
        **TRAINED,
    output:
        rows("rewind"),
    log:
        log_of("rewind"),
    benchmark:
        benchmark_of("rewind")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=480),
    params:
        **params_of("rewind"),
    script:
        "../scripts/analyse.py"


rule edit:
    input:
        **TRAINED,
    output:
        rows("edit"),
    log:
        log_of("edit"),
    benchmark:
        benchmark_of("edit")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=480),
    params:
        **params_of("edit"),
    script:
        "../scripts/analyse.py"


rule relabel:
    input:
        **TRAINED,
    output:
        rows("relabel"),
    log:
        log_of("relabel"),
    benchmark:
        benchmark_of("relabel")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=480),
    params:
        **params_of("relabel"),
    script:
        "../scripts/analyse.py"
