# `snakemake released`: the checkpoints that their authors released, evaluated without training.


rule evaluate_released:
    """Score validation and test clips with one released file, and write the record.
    The file is fetched if its host allows programs to."""
    input:
        corpus=made(released_corpus_of),
        features=made(released_features_of),
        due=due("released", "{checkpoint}"),
    output:
        record=update(layout.results / "runs" / "{checkpoint}" / "record.json"),
    log:
        LOGS / "released" / "{checkpoint}.log",
    wildcard_constraints:
        checkpoint="|".join(map(re.escape, triggers.released_plans)) or "none",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        config=RESOLVED,
    message:
        "evaluate {wildcards.checkpoint}"
    shell:
        "python -m bench released {wildcards.checkpoint:q} --config {params.config:q}"
        " --threads {threads:q} &> {log:q}"


rule released:
    """The table of released checkpoints, over those whose files are here or can be fetched,
    and that of released predictions where the experiment has them."""
    input:
        [
            layout.results / "runs" / name / "record.json"
            for name in triggers.released_plans
            if triggers.obtainable(name)
        ],
        rescored=rules.rescore.output.scores if settings.rescore else [],
    log:
        LOGS / "released" / "table.log",
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "the table of released checkpoints"
    shell:
        "python -m bench report --released --config {params.config:q} 2> {log:q}"
