# What the full-size models cost on this machine.


rule cost:
    """Measure parameters, activation memory and step time of one full-size model.
    It takes the whole machine, so that nothing else disturbs its times."""
    input:
        due=due("cost", "{model}"),
    output:
        facts=update(layout.results / "cost" / "{model}.json"),
    log:
        LOGS / "cost" / "{model}.log",
    priority: 1 + max(estimate.urgency.values())
    conda:
        "../../environment.yml"
    threads: os.cpu_count()
    resources:
        gpu=GPUS,
    params:
        config=RESOLVED,
    message:
        "measure the full-size {wildcards.model}"
    shell:
        "python -m bench cost {wildcards.model:q} --config {params.config:q} &> {log:q}"
