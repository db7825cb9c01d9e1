# `snakemake tune`: the declared trials of every recipe, what runs start from before what starts there.


rule tune_pair:
    """Try the declared recipes of one model on one data set, judged on validation clips.
    Recorded trials that still hold are kept, so the record is not deleted beforehand.
    """
    input:
        corpus=made(corpus_of_pair),
        features=made(features_of_pair),
        parent=made(tuned_parent_of),
        start=made(start_of_pair),
        due=lambda wildcards: due("tune", *wildcards.pair.split("/"))(wildcards),
    output:
        record=update(Path(settings.paths.tuning) / settings.experiment / "{pair}.json"),
    log:
        LOGS / "tune" / "{pair}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        config=RESOLVED,
        names=lambda wildcards: [
            TUNED[wildcards.pair].dataset,
            TUNED[wildcards.pair].model,
        ],
    message:
        "tune {wildcards.pair}"
    shell:
        "python -m bench tune {params.names:q} --config {params.config:q} --threads {threads:q}"
        " &> {log:q}"


rule tune:
    """The declared trials of every model on every data set; then the choice, in words."""
    input:
        [path_of(settings, *pair) for pair in pairs(settings)],
    log:
        LOGS / "tune" / "choice.log",
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "the best recipes"
    shell:
        "python -m bench tune --config {params.config:q} 2> {log:q}"
