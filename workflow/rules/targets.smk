# Parts of an experiment that can be requested by name: their runs, then the report on existing
# records.

for target in settings.targets:

    rule:
        name:
            target
        input:
            [layout.record(cell) for cell in target_cells(settings, target)],
            [layout.corpus_file(name) for name in settings.targets[target].datasets],
        log:
            LOGS / "targets" / f"{target}.log",
        conda:
            "../../environment.yml"
        params:
            config=RESOLVED,
        message:
            f"the report on {target}"
        shell:
            "python -m bench report --config {params.config:q} &> {log:q}"
