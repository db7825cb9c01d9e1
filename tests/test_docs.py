"""README and docs: links lead somewhere, commands exist, figures of the plan are those of today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import __main__ as cli
from bench.experiment import config, estimate
from bench.ops.plan import jobs_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
PAPER = config.load(ROOT / "config" / "paper.yaml")
PLANNED = re.findall(
    r"--cores all (?:(\w+) )?--configfile config/paper\.yaml` \| "
    r"([\d,]+) runs, ([\d,]+) GPU-hours, ([\d.]+) (GB|TB)",
    TEXT[ROOT / "README.md"],
)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        name, _, anchor = link.partition("#")
        if name.startswith("http"):
            continue
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(TEXT[target]), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_options(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = re.sub(r"\s+", " ", TEXT[page])
    for verb, rest in re.findall(r"python -m bench ([a-z]+(?:-[a-z]+)*)([^`|#…]*)", text):
        assert verb in cli.VERBS, verb
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        known = capsys.readouterr().out
        own = re.split(r"python -m|snakemake", rest)[0]
        for option in re.findall(r"(?<!\S)\[?(--[a-z-]+)", own):
            assert re.search(rf"{option}\b", known), f"{verb} {option}"
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"`make ([a-z-]+)[^`]*`", text):
        assert target in made, target


def test_the_readme_is_short_and_names_no_commit() -> None:
    text = TEXT[ROOT / "README.md"]
    assert len(text.splitlines()) <= 120
    assert not re.findall(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}\b", text)


def test_the_readme_states_what_is_planned() -> None:
    assert {target for target, *_ in PLANNED} == {"", *PAPER.targets} - {"full"}


@pytest.mark.parametrize(("target", "runs", "hours", "disk", "unit"), PLANNED)
def test_a_row_of_the_readme_is_what_plan_says(
    target: str,
    runs: str,
    hours: str,
    disk: str,
    unit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With two runs side by side and nothing made or fetched yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimate, "workers", lambda: 2)
    jobs = jobs_of(PAPER, target or None)
    found = estimate.Estimate.of(PAPER)
    trained = [found.seconds(job) or 0.0 for job in jobs if job.stage == "train"]
    assert int(runs.replace(",", "")) == len(trained)
    assert float(hours.replace(",", "")) == pytest.approx(sum(trained) / 3600, rel=0.02)
    size = sum(found.disk_ahead(jobs).values()) / {"GB": 1e9, "TB": 1e12}[unit]
    assert float(disk) == pytest.approx(size, rel=0.05)
