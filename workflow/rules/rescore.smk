# The row of the paper that needs no model: `snakemake rescore`, in any experiment.


rule rescore:
    """Score the prediction files that the HTS-AT authors published, by every event metric.
    They are fetched once, or read from the experiment's `rescore.folder`."""
    input:
        due=due("rescore") if settings.rescore else [],
    output:
        scores=update(layout.results / "rescore.json"),
    log:
        LOGS / "rescore.log",
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "score the published predictions"
    shell:
        "python -m bench rescore --config {params.config:q} &> {log:q}"
