# Before the first job: one live call per experiment, the resolved config, a check of every model, and a
# line now and then that tells how far the jobs are. A dry run does none of it.


onstart:
    asked = workflow.dag_settings
    if not (asked.forceall or asked.forcerun or asked.forcetargets):
        os.environ[KEEP] = (
            "1"  # work that stands is kept even where its inputs were made again
        )
    outputs = [
        str(path) for job in workflow.dag.needrun_jobs() for path in job.output
    ]
    try:
        held = supervise.begin(settings, outputs)
    except UserError as error:
        raise WorkflowError(str(error)) from error
