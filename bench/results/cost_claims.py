"""The claims about cost: parameters, memory and training time, HTS-AT against AST."""

from __future__ import annotations

from collections.abc import Mapping

from bench.results import published
from bench.results.audit import Audited
from bench.results.claim import (
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
from bench.results.columns import significant
from bench.results.full_size import is_full_size, largest_batch
from bench.results.identity import unlike
from bench.results.measured import Measurement
from bench.results.names import ARCHITECTURES
from bench.results.published import Kind, Verdict

COUNT_TOLERANCE, RATIO_TOLERANCE, HOURS_MARGIN = 0.05, 0.20, 0.03
CARD_GIB = 12


def cost_claims(audited: Audited) -> list[Claim]:
    """Parameters, memory and hours."""
    return [_parameters(audited), _memory(audited), _hours(audited)]


def _costs(audited: Audited) -> dict[str, Measurement]:
    """Cost measurements of HTS-AT and AST by architecture, if both exist."""
    found: dict[str, Measurement] = {}
    for model, cost in audited.costs.items():
        architecture = audited.config.cost.models[model].get("architecture", model)
        found[architecture] = cost
    return found if {"htsat", "ast"} <= set(found) else {}


def _cost_claim(key: str, text: str, said: str, measured: str, verdict: Verdict) -> Claim:
    groups = ("cost/htsat", "cost/ast") if verdict is not NOT_MEASURED else ()
    return Claim(key, CLAIMS, text, said, measured, verdict, groups, groups)


def _unlike(audited: Audited, costs: Mapping[str, Measurement]) -> str:
    """Why costs are not those of the published networks on their features; empty where they are."""
    said = []
    for name in ("htsat", "ast"):
        asked = audited.config.cost.models[costs[name].model]
        features = entry_beside(name, AUDIOSET).front_end
        other = unlike(asked, {key: features[key] for key in ("frames", "mels")})
        if not is_full_size(audited, costs[name].model):
            other.insert(0, "not the published network")
        said += [f"{ARCHITECTURES[name]}: {words}" for words in other]
    return "; ".join(said)


def _parameters(audited: Audited) -> Claim:
    ours, theirs = (
        printed(*system, "params_M")
        for system in (("HTS-AT", "HCP (+ Swin-T/C24 pretraining)"), ("AST", "ImageNet"))
    )
    text = "HTS-AT has 35 % of AST's parameters"
    said = f"{ours:g}M against {theirs:g}M: {ours / theirs:.2f} times, by {PAPER} Table 1"
    costs = _costs(audited)
    if not costs:
        return _cost_claim("parameters", text, said, "not measured", NOT_MEASURED)
    own, other = costs["htsat"].parameters, costs["ast"].parameters
    measured = (
        f"{own / 1e6:.2f}M against {other / 1e6:.2f}M that take part in the output: "
        f"{own / other:.2f} times"
    )
    off = max(abs(own / 1e6 / ours - 1), abs(other / 1e6 / theirs - 1))
    if other_size := _unlike(audited, costs):
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


def _memory(audited: Audited) -> Claim:
    ours = printed("HTS-AT", "HCP", "batch_size")
    theirs = printed("AST", "ImageNet", "batch_size")
    text = "HTS-AT needs much less GPU memory than AST"
    said = (
        f"a batch of {ours:g} fits where AST's is {theirs:g}, four cards of 12 GB used: "
        f"{ours / theirs:.1f} times, by {PAPER} section 3.1.2"
    )
    costs = _costs(audited)
    if not costs:
        return _cost_claim("memory", text, said, "not measured", NOT_MEASURED)
    saved = {m: costs[m].activation_bytes_per_clip for m in ("htsat", "ast")}
    per_clip = {m: size / 1e6 for m, size in saved.items()}
    fits = {m: largest_batch(costs[m].parameters, saved[m], CARD_GIB) for m in saved}
    ratio = fits["htsat"] / max(fits["ast"], 1)
    measured = (
        f"activations of {significant(per_clip['htsat'])} and {significant(per_clip['ast'])} MB "
        f"per clip: with weights and optimizer a card of {CARD_GIB} GiB holds about "
        f"{fits['htsat']} and {fits['ast']} clips, {ratio:.1f} times as many (as in the cost table)"
    )
    devices = {costs[m].device for m in fits}
    if other_size := _unlike(audited, costs):
        verdict = Verdict("not comparable", other_size)
    elif devices == {"cpu"}:
        verdict = Verdict(
            "not comparable",
            "measured on a CPU in single precision; the published batches are those of GPUs",
        )
    else:
        verdict = _ratio_verdict(ratio, ours / theirs)
    return _cost_claim("memory", text, said, measured, verdict)


def _ratio_verdict(ratio: float, expected: float) -> Verdict:
    """The verdict on one ratio without seeds, larger = better."""
    if abs(ratio / expected - 1) <= RATIO_TOLERANCE:
        return Verdict("reproduced", f"within {100 * RATIO_TOLERANCE:.0f} % of the published ratio")
    kind: Kind = "better" if ratio > expected else "below"
    return Verdict(kind, f"the ratio is {ratio / expected:.2f} times the published one")


def _hours(audited: Audited) -> Claim:
    ours = printed("HTS-AT", "HCP", "gpu_hours")
    theirs = printed("AST", "ImageNet", "gpu_hours")
    text = "HTS-AT trains in 80 GPU hours where AST takes 600"
    said = f"{ours:g} h against {theirs:g} h on AudioSet: {ours / theirs:.2f} times, by {PAPER}"
    own = next((group for _, group in groups_of(audited, "htsat", AUDIOSET) if group), None)
    other = next((group for _, group in groups_of(audited, "ast", AUDIOSET) if group), None)
    if own is None or other is None:
        return make_claim("hours", text, said, "not measured", NOT_MEASURED, [own, other])
    hours = [{r.seed: r.record.cost.train_hours or 0.0 for r in g.runs} for g in (own, other)]
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
    devices = {run.record.provenance.device for g in (own, other) for run in g.runs}
    if devices == {"cpu"}:
        reasons.append("trained on a CPU")
    elif len(devices) > 1:
        reasons.append(f"trained on different hardware: {', '.join(sorted(devices))}")
    # Less time is better, so the signs change.
    verdict = published.compare([-ratio for ratio in ratios], -ours / theirs, HOURS_MARGIN, reasons)
    return make_claim("hours", text, said, measured, verdict, [own, other])
