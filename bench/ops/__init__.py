"""Before, while and after an experiment runs: checks, plan, status, where a number came from."""
