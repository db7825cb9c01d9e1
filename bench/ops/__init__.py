"""Before, while and after a profile runs: checks, plan, status, where a number came from."""
