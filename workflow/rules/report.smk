# What people read: the MLflow store and the report, both made only from the records.


from bench.tracking.store import break_false_seal


report: "../report/workflow.rst"


RECORDS = list(layout.records(settings))

if workflow.is_main_process:
    break_false_seal(settings)


rule track:
    """Bring the MLflow store up to date with the records.
    One job writes it, and what is unchanged stays: the store is a view that can be rebuilt.
    """
    input:
        records=made(RECORDS),
        due=due("track"),
    output:
        digest=update(layout.results / "mlflow.json"),
    log:
        LOGS / "track.log",
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "bring the MLflow store up to date"
    shell:
        "python -m bench track --config {params.config:q} &> {log:q}"


rule report:
    """Write the report and its tables from records, corpora and measured cost.
    The page is self-contained; the tables are Markdown, LaTeX and CSV."""
    input:
        records=made(RECORDS),
        corpora=made([layout.corpus_file(name) for name in settings.datasets]),
        cost=made(
            [
                layout.results / "cost" / f"{model}.json"
                for model in settings.cost.models
            ]
        ),
        rescored=made(rules.rescore.output.scores) if settings.rescore else [],
        due=due("report"),
    output:
        [
            report(
                layout.report / "tables" / f"{name}.csv",
                caption="../report/tables.rst",
                category="Tables",
                labels={"table": name},
            )
            for name in TABLES
        ],
        [
            layout.report / "tables" / f"{name}.{suffix}"
            for name in TABLES
            for suffix in SUFFIXES[1:]
        ],
        page=report(
            layout.report / "index.html",
            caption="../report/page.rst",
            category="Report",
        ),
        claims=report(
            layout.report / "claims.html",
            caption="../report/claims.rst",
            category="Report",
        ),
        metrics=layout.report / "metrics.json",
    log:
        LOGS / "report.log",
    conda:
        "../../environment.yml"
    params:
        config=RESOLVED,
    message:
        "write the report"
    shell:
        "python -m bench report --config {params.config:q} &> {log:q}"
