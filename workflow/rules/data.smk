# From public sources to features.


rule fetch:
    """Bring a data set or a checkpoint to its folder: resumed where it stopped, verified, unpacked.
    What is there already is not fetched again."""
    output:
        facts=layout.work / "fetched" / "{source}.json",
    log:
        LOGS / "fetch" / "{source}.log",
    priority: 1
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
        triggers=lambda wildcards: triggers.fetch(wildcards.source),
    message:
        "fetch {wildcards.source}"
    shell:
        "python -m bench fetch {wildcards.source:q} --config {params.config:q} &> {log:q}"


if settings.embedded is not None:

    rule embed:
        """Build the embedded corpora in the on-disk layouts of the real data sets.
        The builder is deterministic: the same bytes on every machine."""
        output:
            manifest=Path(settings.embedded.root) / "manifest.json",
        log:
            LOGS / "embed.log",
        conda:
            "../../environment.yml"
        threads: os.cpu_count()
        params:
            config=RESOLVED,
            triggers=triggers.embed(),
        message:
            "build the embedded corpora"
        shell:
            "python -m bench embed --config {params.config:q} --workers {threads:q} &> {log:q}"


rule corpus:
    """Read one data set from its own layout into a table of clips.
    Every audio file is hashed; what the table lists and the disk lacks is counted."""
    input:
        manifest=manifest_of,
    output:
        facts=layout.work / "corpora" / "{dataset}" / "corpus.json",
    log:
        LOGS / "corpus" / "{dataset}.log",
    priority: lambda wildcards: estimate.data_urgency(wildcards.dataset)
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
        triggers=lambda wildcards: triggers.corpus(wildcards.dataset),
    message:
        "read {wildcards.dataset}"
    shell:
        "python -m bench corpus {wildcards.dataset:q} --config {params.config:q} &> {log:q}"


rule featurize:
    """Compute the features of one data set under one front end, into one memory-mapped array.
    Unusable audio is listed in a report, and interrupted work goes on where it was."""
    input:
        corpus=rules.corpus.output.facts,
    output:
        digest=layout.work / "features" / "{dataset}" / "{front_end}" / "digest.json",
    log:
        LOGS / "features" / "{dataset}-{front_end}.log",
    priority: lambda wildcards: estimate.data_urgency(wildcards.dataset, wildcards.front_end)
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
        triggers=lambda wildcards: triggers.featurize(
            wildcards.dataset, wildcards.front_end
        ),
    message:
        "compute the {wildcards.front_end} features of {wildcards.dataset}"
    shell:
        "python -m bench featurize {wildcards.dataset:q} {wildcards.front_end:q}"
        " --config {params.config:q} --workers {threads:q} &> {log:q}"
