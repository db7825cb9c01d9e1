# `snakemake rehearse`: a few real steps of every distinct run, before any of them is paid for.

from bench.files import digest_of


rule rehearse:
    """Take every distinct run of the experiment through its code, on stand-ins where data or
    checkpoints are not here. It takes the whole machine and makes nothing that a run reads.
    """
    output:
        page=layout.work / "rehearsal.md",
    log:
        LOGS / "rehearse.log",
    conda:
        "../../environment.yml"
    threads: os.cpu_count()
    resources:
        gpu=GPUS,
    params:
        config=RESOLVED,
        triggers=digest_of(settings.model_dump(mode="json"))[:16],
    message:
        "rehearse every distinct run"
    shell:
        "python -m bench rehearse --config {params.config:q} --write {output.page:q} &> {log:q}"
