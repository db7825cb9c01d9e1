# `snakemake ensembles`: the experiment's ensembles, each the mean of its members' probabilities; those
# of released checkpoints only where every file is here or can be fetched.

ensemble_cells_of = {
    name: cells.ensemble_cells(settings, name) for name in settings.ensembles
}
ensemble_records = {
    name: layout.record(cell) for name, (cell, _) in ensemble_cells_of.items()
}

for name, (_, members) in ensemble_cells_of.items():

    rule:
        """Average the scores of several runs and write the record of the result."""
        name:
            f"ensemble_{name}"
        input:
            made([layout.record(member) for member in members]),
            due=due("ensemble", name),
        output:
            record=update(ensemble_records[name]),
        log:
            LOGS / "ensembles" / f"{name}.log",
        conda:
            "../../environment.yml"
        params:
            config=RESOLVED,
            ensemble=name,
        message:
            f"ensemble {name}"
        shell:
            "python -m bench ensemble {params.ensemble:q} --config {params.config:q} &> {log:q}"


rule ensembles:
    """Every ensemble of the experiment."""
    input:
        [
            record
            for name, record in ensemble_records.items()
            if all(map(triggers.obtainable, map(str, ensemble_cells_of[name][1])))
        ],
