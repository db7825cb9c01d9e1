"""`python -m bench schema`: the config's JSON schema, for editors and Snakemake, and its page."""

from __future__ import annotations

import argparse
import json
from typing import Any

from bench.code_digest import ROOT
from bench.experiment import config_page
from bench.experiment.config import Config
from bench.files import write_text

PATH = ROOT / "workflow" / "schemas" / "config.schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb takes none."""


def run(args: argparse.Namespace) -> int:
    write_text(PATH, text())
    write_text(config_page.PATH, config_page.text())
    return 0


def text() -> str:
    """The schema file's content."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


def schema() -> dict[str, Any]:
    """JSON schema (2020-12) of an experiment whose `extends` has been merged."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
    }
