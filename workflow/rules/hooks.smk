# Before the first job: one live call per experiment, the resolved config, a check of every model,
# and a progress line from time to time. A dry run does none of it.


onstart:
    asked = workflow.dag_settings
    if not (asked.forceall or asked.forcerun or asked.forcetargets):
        os.environ[KEEP] = (
            "1"  # up-to-date work is kept even if its inputs were remade
        )
    outputs = [
        str(path) for job in workflow.dag.needrun_jobs() for path in job.output
    ]
    # With a limit on submissions per second (Snakemake has one by default), each finished job makes
    # the scheduler look at all waiting jobs once more per second: a core's worth after hundreds.
    workflow.scheduler.job_rate_limiter = None
    try:
        held = supervise.begin(settings, outputs)
    except UserError as error:
        raise WorkflowError(str(error)) from error
