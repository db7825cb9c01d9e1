# Each run: training, then its record.


rule train:
    """Train one run and score its validation and test clips.
    Its state is outside the outputs, so interrupted training resumes."""
    input:
        corpus=made(corpus_of),
        features=made(features_of),
        parent=made(parent_of),
        start=made(start_of),
        due=due("train", "{cell}"),
    output:
        model=update(RUN / "model.pt"),
        curve=update(RUN / "metrics.jsonl"),
        scores=update(RUN / "scores.npz"),
        training=update(RUN / "training.json"),
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
    message:
        "train {wildcards.cell}"
    shell:
        "python -m bench train {wildcards.cell:q} --config {params.config:q} --threads {threads:q}"
        " --gpus {resources.gpu:q} &> {log:q}"


rule evaluate:
    """Turn the scores of one run into its record: every metric, and where it came from.
    Thresholds are chosen on validation clips; no model and no GPU is needed."""
    input:
        corpus=made(corpus_of),
        training=made(rules.train.output.training),
        due=due("evaluate", "{cell}"),
    output:
        record=update(RUN / "record.json"),
    log:
        LOGS / "evaluate" / "{cell}.log",
    priority: max(estimate.urgency.values())
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "evaluate {wildcards.cell}"
    shell:
        "python -m bench evaluate {wildcards.cell:q} --config {params.config:q} &> {log:q}"
