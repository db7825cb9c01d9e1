# From public sources to features.


rule fetch:
    """Fetch a data set or a checkpoint into its folder: resumed, verified, unpacked.
    Existing files are not fetched again."""
    input:
        due=due("fetch", "{source}"),
    output:
        facts=update(layout.work / "fetched" / "{source}.json"),
    log:
        LOGS / "fetch" / "{source}.log",
    priority: 1
    localrule: True
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "fetch {wildcards.source}"
    shell:
        "python -m bench fetch {wildcards.source:q} --config {params.config:q} &> {log:q}"


if settings.embedded is not None:

    rule embed:
        """Build the embedded corpora in the on-disk layouts of the real data sets.
        The builder is deterministic: the same bytes on every machine."""
        input:
            due=due("embed"),
        output:
            manifest=update(Path(settings.embedded.root) / "manifest.json"),
        log:
            LOGS / "embed.log",
        conda:
            "../../environment.yml"
        threads: os.cpu_count()
        params:
            config=RESOLVED,
        message:
            "build the embedded corpora"
        shell:
            "python -m bench embed --config {params.config:q} --workers {threads:q} &> {log:q}"


rule corpus:
    """Read one data set from its own layout into a table of clips.
    Every audio file is hashed; listed clips without a file are counted."""
    input:
        manifest=made(manifest_of),
        due=due("corpus", "{dataset}"),
    output:
        facts=update(layout.work / "corpora" / "{dataset}" / "corpus.json"),
    log:
        LOGS / "corpus" / "{dataset}.log",
    priority: lambda wildcards: estimate.data_urgency(wildcards.dataset)
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "read {wildcards.dataset}"
    shell:
        "python -m bench corpus {wildcards.dataset:q} --config {params.config:q} &> {log:q}"


rule featurize:
    """Compute the features of one data set under one front end, into one memory-mapped array.
    Unusable audio is listed in a report, and interrupted work resumes."""
    input:
        corpus=made(rules.corpus.output.facts),
        due=due("featurize", "{dataset}", "{front_end}"),
    output:
        digest=update(
            layout.work / "features" / "{dataset}" / "{front_end}" / "digest.json"
        ),
    log:
        LOGS / "features" / "{dataset}-{front_end}.log",
    priority: lambda wildcards: estimate.data_urgency(wildcards.dataset, wildcards.front_end)
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "compute the {wildcards.front_end} features of {wildcards.dataset}"
    shell:
        "python -m bench featurize {wildcards.dataset:q} {wildcards.front_end:q}"
        " --config {params.config:q} --workers {threads:q} &> {log:q}"
