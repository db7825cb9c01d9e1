# Before the first job: one live call per experiment, the resolved config, a check of every model, and a
# line now and then that tells how far the jobs are. A dry run does none of it.


onstart:
    outputs = [
        str(path) for job in workflow.dag.needrun_jobs() for path in job.output
    ]
    try:
        held = supervise.begin(settings, outputs)
    except UserError as error:
        raise WorkflowError(str(error)) from error
