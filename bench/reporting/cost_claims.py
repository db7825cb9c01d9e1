"""The claims about cost: parameters, memory and training time, HTS-AT against AST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.reporting import published
from bench.reporting.claim import (
    AUDIOSET,
    CLAIMS,
    NOT_MEASURED,
    PAPER,
    Claim,
    entry_beside,
    groups_of,
    make_claim,
    printed,
)
from bench.reporting.cost_table import is_full_size, largest_batch
from bench.reporting.identity import unlike
from bench.reporting.names import ARCHITECTURES
from bench.reporting.published import Kind, Verdict
from bench.reporting.results import Results
from bench.reporting.tables import significant

COUNT_TOLERANCE, RATIO_TOLERANCE, HOURS_MARGIN = 0.05, 0.20, 0.03
CARD_GIB = 12


def cost_claims(results: Results) -> list[Claim]:
    """Parameters, memory and hours."""
    return [_parameters(results), _memory(results), _hours(results)]


def _costs(results: Results) -> dict[str, Mapping[str, Any]]:
    """Cost measurements of HTS-AT and AST by architecture, where both are there."""
    found: dict[str, Mapping[str, Any]] = {}
    for model, cost in results.costs.items():
        architecture = results.config.cost.models[model].get("architecture", model)
        found[architecture] = {**cost, "model": model}
    return found if {"htsat", "ast"} <= set(found) else {}


def _cost_claim(key: str, text: str, said: str, measured: str, verdict: Verdict) -> Claim:
    groups = ("cost/htsat", "cost/ast") if verdict is not NOT_MEASURED else ()
    return Claim(key, CLAIMS, text, said, measured, verdict, groups, groups)


def _unlike(results: Results, costs: Mapping[str, Mapping[str, Any]]) -> str:
    """Why costs are not those of the published networks on their features; empty where they are."""
    said = []
    for name in ("htsat", "ast"):
        asked = results.config.cost.models[costs[name]["model"]]
        features = entry_beside(name, AUDIOSET).front_end
        other = unlike(asked, {key: features[key] for key in ("frames", "mels")})
        if not is_full_size(results, costs[name]["model"]):
            other.insert(0, "not the published network")
        said += [f"{ARCHITECTURES[name]}: {words}" for words in other]
    return "; ".join(said)


def _parameters(results: Results) -> Claim:
    ours, theirs = (
        printed(*system, "params_M")
        for system in (("HTS-AT", "HCP (+ Swin-T/C24 pretraining)"), ("AST", "ImageNet"))
    )
    text = "HTS-AT has 35 % of AST's parameters"
    said = f"{ours:g}M against {theirs:g}M: {ours / theirs:.2f} times, by {PAPER} Table 1"
    costs = _costs(results)
    if not costs:
        return _cost_claim("parameters", text, said, "not measured", NOT_MEASURED)
    own, other = costs["htsat"]["parameters"], costs["ast"]["parameters"]
    measured = (
        f"{own / 1e6:.2f}M against {other / 1e6:.2f}M that take part in the output: "
        f"{own / other:.2f} times"
    )
    off = max(abs(own / 1e6 / ours - 1), abs(other / 1e6 / theirs - 1))
    if other_size := _unlike(results, costs):
        verdict = Verdict("not comparable", other_size)
    elif off <= COUNT_TOLERANCE:
        verdict = Verdict(
            "reproduced", f"both counts within {100 * COUNT_TOLERANCE:.0f} % of the printed ones"
        )
    else:
        better = own / other < ours / theirs
        verdict = Verdict(
            "better" if better else "below", f"a count is {100 * off:.0f} % off the printed one"
        )
    return _cost_claim("parameters", text, said, measured, verdict)


def _memory(results: Results) -> Claim:
    ours = printed("HTS-AT", "HCP", "batch_size")
    theirs = printed("AST", "ImageNet", "batch_size")
    text = "HTS-AT needs much less GPU memory than AST"
    said = (
        f"a batch of {ours:g} fits where AST's is {theirs:g}, four cards of 12 GB used: "
        f"{ours / theirs:.1f} times, by {PAPER} section 3.1.2"
    )
    costs = _costs(results)
    if not costs:
        return _cost_claim("memory", text, said, "not measured", NOT_MEASURED)
    fits = {m: _clips_that_fit(costs[m]) for m in ("htsat", "ast")}
    per_clip = {m: costs[m]["activation_bytes_per_clip"] / 1e6 for m in fits}
    ratio = fits["htsat"] / max(fits["ast"], 1)
    measured = (
        f"activations of {significant(per_clip['htsat'])} and {significant(per_clip['ast'])} MB "
        f"per clip: with weights and optimizer a card of {CARD_GIB} GB holds about {fits['htsat']} "
        f"and {fits['ast']} clips, {ratio:.1f} times as many (as in the cost table)"
    )
    devices = {str(costs[m].get("device") or "cpu") for m in fits}
    if other_size := _unlike(results, costs):
        verdict = Verdict("not comparable", other_size)
    elif devices == {"cpu"}:
        verdict = Verdict(
            "not comparable",
            "measured on a CPU in single precision; the published batches are those of GPUs",
        )
    else:
        verdict = _ratio_verdict(ratio, ours / theirs)
    return _cost_claim("memory", text, said, measured, verdict)


def _clips_that_fit(cost: Mapping[str, Any]) -> int:
    """As in the cost table."""
    return largest_batch(cost["parameters"], cost["activation_bytes_per_clip"], CARD_GIB)


def _ratio_verdict(ratio: float, expected: float) -> Verdict:
    """The verdict on one ratio without seeds, larger = better."""
    if abs(ratio / expected - 1) <= RATIO_TOLERANCE:
        return Verdict("reproduced", f"within {100 * RATIO_TOLERANCE:.0f} % of the published ratio")
    kind: Kind = "better" if ratio > expected else "below"
    return Verdict(kind, f"the ratio is {ratio / expected:.2f} times the published one")


def _hours(results: Results) -> Claim:
    ours = printed("HTS-AT", "HCP", "gpu_hours")
    theirs = printed("AST", "ImageNet", "gpu_hours")
    text = "HTS-AT trains in 80 GPU hours where AST takes 600"
    said = f"{ours:g} h against {theirs:g} h on AudioSet: {ours / theirs:.2f} times, by {PAPER}"
    own = next((group for _, group in groups_of(results, "htsat", AUDIOSET) if group), None)
    other = next((group for _, group in groups_of(results, "ast", AUDIOSET) if group), None)
    if own is None or other is None:
        return make_claim("hours", text, said, "not measured", NOT_MEASURED, [own, other])
    hours = [{r.seed: r.values["cost"]["train_hours"] for r in g.runs} for g in (own, other)]
    ratios = [hours[0][seed] / hours[1][seed] for seed in hours[0] if seed in hours[1]]
    spent, beside = (significant(sum(h.values()) / len(h)) for h in hours)
    measured = f"{spent} h against {beside} h a run"
    if ratios:
        measured += f": {significant(sum(ratios) / len(ratios), 2)} times"
    reasons = [
        reason
        for group, network in ((own, "htsat"), (other, "ast"))
        for reason in (
            *published.another(group, entry_beside(network, AUDIOSET)),
            *published.incomplete(group),
        )
    ]
    devices = {run.values["provenance"]["device"] for g in (own, other) for run in g.runs}
    if devices == {"cpu"}:
        reasons.append("trained on a CPU")
    elif len(devices) > 1:
        reasons.append(f"trained on different hardware: {', '.join(sorted(devices))}")
    # Less time is better, so the signs change.
    verdict = published.compare([-ratio for ratio in ratios], -ours / theirs, HOURS_MARGIN, reasons)
    return make_claim("hours", text, said, measured, verdict, [own, other])
