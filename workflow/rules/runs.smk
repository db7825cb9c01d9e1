# One run after the other: training, then a record of what it reached.


rule train:
    """Train one run and score its validation and test clips.
    Its state lies outside the outputs, so interrupted training goes on where it was."""
    input:
        corpus=corpus_of,
        features=features_of,
        parent=parent_of,
        start=start_of,
    output:
        model=RUN / "model.pt",
        curve=RUN / "metrics.jsonl",
        scores=RUN / "scores.npz",
        training=RUN / "training.json",
    log:
        LOGS / "train" / "{cell}.log",
    priority: lambda wildcards: estimate.urgency[wildcards.cell]
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        config=RESOLVED,
        triggers=lambda wildcards: triggers.train(wildcards.cell),
    message:
        "train {wildcards.cell}"
    shell:
        "python -m bench train {wildcards.cell:q} --config {params.config:q} --threads {threads:q}"
        " --gpus {resources.gpu:q} &> {log:q}"


rule evaluate:
    """Turn the scores of one run into its record: every metric, and where it came from.
    Thresholds are chosen on validation clips; no model and no GPU is needed."""
    input:
        corpus=corpus_of,
        training=rules.train.output.training,
    output:
        record=RUN / "record.json",
    log:
        LOGS / "evaluate" / "{cell}.log",
    priority: max(estimate.urgency.values())
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
        triggers=lambda wildcards: triggers.evaluate(wildcards.cell),
    message:
        "evaluate {wildcards.cell}"
    shell:
        "python -m bench evaluate {wildcards.cell:q} --config {params.config:q} &> {log:q}"
