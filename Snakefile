"""The whole benchmark: `snakemake --cores all [--configfile config/NAME.yaml]`."""

from snakemake.utils import min_version

min_version("9.27")

if not workflow.overwrite_configfiles:

    configfile: "config/default.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/rescore.smk"
include: "workflow/rules/released.smk"
include: "workflow/rules/ensembles.smk"
include: "workflow/rules/cost.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/rehearse.smk"
include: "workflow/rules/hooks.smk"


rule all:
    """The report with its tables, and the MLflow store."""
    default_target: True
    input:
        rules.report.output.page,
        rules.track.output.digest,
        RECORDS,  # by name: one that was deleted is made again though the report is still there
    message:
        "the report and the MLflow store"
