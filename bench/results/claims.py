"""The claims of the HTS-AT paper, one by one: what was published, what was measured, a verdict.

Every claim is listed in every experiment. If an experiment cannot test it, the verdict says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from bench.experiment.config import Config
from bench.results import published, rescored
from bench.results.audit import Audited
from bench.results.claim import (
    AUDIOSET,
    CLAIMS,
    FIGURES,
    NOT_MEASURED,
    PAPER,
    Claim,
    entry_beside,
    groups_of,
    make_claim,
    printed,
)
from bench.results.cost_claims import cost_claims
from bench.results.decisions import paired
from bench.results.groups import Group
from bench.results.identity import fingerprints
from bench.results.leaders import UNRANKED, ranks
from bench.results.measured import RESCORED, Rescored
from bench.results.names import (
    ARCHITECTURES,
    DATASETS,
    METRICS,
    model_name,
    short_dataset_name,
    variant_words,
)
from bench.results.published import Kind, Verdict
from bench.results.rescored import off_by
from bench.results.summary import Summary
from bench.results.training import Resolved
from bench.results.words import counted, figure_words, gap_words, points, value_words

LEADING = {
    AUDIOSET: "mAP",
    "ESC-50": "accuracy",
    "SpeechCommandsV2-35": "accuracy",
    "DESED-public-eval": "intersection_f1",
}
RIVALS = (
    (AUDIOSET, "ast"),
    (AUDIOSET, "pann-cnn14"),
    ("ESC-50", "ast"),
    ("ESC-50", "pann-cnn14"),
    ("SpeechCommandsV2-35", "ast"),
    ("DESED-public-eval", "pann-decision-max"),
)
"""Data sets and networks that the paper compares HTS-AT with, with a figure for both."""
GAP_MARGIN = 0.01
"""mAP by which a difference may miss the published one."""
Change = Callable[[Resolved, Resolved], bool]
"""Whether two runs' resolved values differ in exactly one thing."""
Judge = Callable[[Summary, Sequence[str]], Verdict]
"""The verdict on a paired difference, and on what keeps it from being compared."""


def claims(audited: Audited, scored: Rescored | None) -> list[Claim]:
    """Every claim of the paper, then every published figure that a model is compared with."""
    found = [
        *_ranks(audited),
        _ast_cannot_localize(audited),
        _no_pretraining(audited),
        _token_semantic(audited),
        *cost_claims(audited),
        *_rescored(scored),
    ]
    return [*found, *_figures(audited)]


def _words(group: Group | None, metric: str) -> str:
    summary = group.summary(metric) if group else None
    if summary is None:
        return ""
    return f"{figure_words(summary, metric)} ({counted(summary.n, 'run')})"


def _measured(group: Group | None, metric: str, name: str) -> str:
    words = _words(group, metric)
    return f"{name} {words}" if words else f"{name}: no figure"


def _ranks(audited: Audited) -> Iterator[Claim]:
    for data, rival in RIVALS:
        known = fingerprints()
        loader, architecture = known.data[data].loader, known.networks[rival].architecture
        metric, name = LEADING[data], ARCHITECTURES[architecture]
        own, other = entry_beside("htsat", data), entry_beside(rival, data)
        ours, theirs = own.figure(metric), other.figure(metric)
        assert ours is not None
        assert theirs is not None
        text = f"On {DATASETS[loader]}, HTS-AT is as good as {name} or better ({METRICS[metric]})"
        said = (
            f"HTS-AT {value_words(ours, metric)}, by {own.source}; {name} "
            f"{value_words(theirs, metric)}, by {other.source}; HTS-AT minus {name} "
            f"{points(ours - theirs, metric)}"
        )
        key = f"rank-{loader}-{architecture}"
        mine = dict(groups_of(audited, "htsat", data))
        beside = dict(groups_of(audited, rival, data))
        places = [place for place in mine if place in beside]
        if not places:
            yield make_claim(key, text, said, "no such models in this experiment", NOT_MEASURED)
        for place in places:
            first, second = mine[place], beside[place]
            measured = (
                f"{short_dataset_name(audited.config, place)}: "
                f"{_measured(first, metric, 'HTS-AT')}, {_measured(second, metric, name)}"
            )
            gap = paired(first, second, metric) if first and second else None
            verdict = NOT_MEASURED
            if first and second and gap:
                reasons = _reasons(
                    {
                        "HTS-AT": published.differences(audited, first, own),
                        name: published.differences(audited, second, other),
                    }
                )
                if ranks(audited.config):
                    measured += f"; HTS-AT minus {name}, paired by seed: {gap_words(gap, metric)}"
                else:
                    reasons.append(UNRANKED)
                margin = audited.config.statistics.margins[metric]
                verdict = published.compare_rank(gap, margin, reasons)
            where = "" if len(places) == 1 else f" [{place}]"
            yield make_claim(
                f"{key}{where}", text + where, said, measured, verdict, [first, second]
            )


def _reasons(by_model: Mapping[str, Sequence[str]]) -> list[str]:
    """Differences from what was published, each once, with the model that has it if not both do."""
    shared = set.intersection(*map(set, by_model.values()))
    own = [(name, reason) for name, found in by_model.items() for reason in found]
    return [reason if reason in shared else f"{name}: {reason}" for name, reason in own]


def _ast_cannot_localize(audited: Audited) -> Claim:
    groups = [
        group for _, group in groups_of(audited, "ast", "DESED-public-eval") if group is not None
    ]
    verdict, measured = NOT_MEASURED, "no AST on DESED in this experiment"
    if groups:
        located = [group.name for group in groups if group.can_localize]
        measured = "AST gives clip scores alone: no frame output to score"
        verdict = Verdict("reproduced", "a property of the architecture, whatever the data")
        if located:
            measured = f"{', '.join(located)} gave frame scores"
            verdict = Verdict("below", "a frame output was found")
    return make_claim(
        "ast-cannot-localize",
        "AST with its class token cannot locate events in time",
        f"no localization figure for AST, by {PAPER} section 3.3",
        measured,
        verdict,
        groups,
    )


def _variants(audited: Audited, changed: Change) -> Iterator[tuple[Group, Group]]:
    """(variant, reference) groups of HTS-AT on one data set that differ as `changed` says."""
    for (dataset, model, _), group in audited.groups.items():
        if audited.config.models[model].architecture != "htsat":
            continue
        for (other_dataset, other_model, _), other in audited.groups.items():
            if (other_dataset, other_model) == (dataset, model) and changed(
                group.first.resolved, other.first.resolved
            ):
                yield group, other


def _gap(
    audited: Audited, pairs: Sequence[tuple[Group, Group]], judge: Judge
) -> tuple[str, Verdict]:
    """What the pairs measured in mAP, which the claims are about, and a verdict on the first,
    preferring the published network on AudioSet; only theirs can be compared."""
    if not pairs:
        return "no such variant in this experiment", NOT_MEASURED
    config = audited.config
    entry = entry_beside("htsat", AUDIOSET)
    ranked = sorted(pairs, key=lambda pair: bool(published.another(pair[1], entry)))
    said, verdict = [], NOT_MEASURED
    for group, base in ranked:
        gap = paired(group, base, "mAP")
        if gap is None:
            continue
        place = short_dataset_name(config, group.dataset)
        said.append(
            f"{place}, mAP: {_named(config, group)} minus {_named(config, base)}, "
            f"paired by seed: {gap_words(gap, 'mAP')}"
        )
        if verdict is NOT_MEASURED:
            verdict = judge(gap, published.differences(audited, base, entry))
    return "; ".join(said) or "no common seeds", verdict


def _named(config: Config, group: Group) -> str:
    """HTS-AT (no pretraining), or HTS-AT (unchanged)."""
    return f"{model_name(config, group.model)} ({variant_words(group.variant)})"


def _from_variants(
    audited: Audited, changed: Change, judge: Judge, name: str, text: str, published_text: str
) -> Claim:
    """A claim about a published change of HTS-AT."""
    pairs = list(_variants(audited, changed))
    measured, verdict = _gap(audited, pairs, judge)
    groups = [group for pair in pairs for group in pair]
    return make_claim(name, text, published_text, measured, verdict, groups)


def _no_pretraining(audited: Audited) -> Claim:
    def changed(variant: Resolved, base: Resolved) -> bool:
        own = variant.recipe
        start = {key: getattr(own, key) for key in ("init", "learning_rate", "epochs")}
        return (
            own.init == "random" != base.recipe.init
            and own == base.recipe.model_copy(update=start)
            and variant.model == base.model
        )

    with_it = printed("HTS-AT", "HCP (+ Swin-T/C24 pretraining)", "mAP")
    without = printed("HTS-AT", "HC (+ token-semantic module)", "mAP")
    return _from_variants(
        audited,
        changed,
        lambda gap, reasons: published.compare(gap.values, without - with_it, GAP_MARGIN, reasons),
        "no-pretraining",
        "Without pretraining HTS-AT is only 1 to 2 % lower",
        f"AudioSet mAP {value_words(without, 'mAP')} without and {value_words(with_it, 'mAP')} "
        "with a pretrained vision model: "
        f"{points(without - with_it, 'mAP')}, by {PAPER} Table 1",
    )


def _token_semantic(audited: Audited) -> Claim:
    def changed(variant: Resolved, base: Resolved) -> bool:
        default = {"token_semantic": True}
        own, other = (default | v.model.arguments for v in (variant, base))
        return (
            own["token_semantic"] is False
            and other == own | default
            and variant.recipe == base.recipe
        )

    with_it = printed("HTS-AT", "HC (+ token-semantic module)", "mAP")
    without = printed("HTS-AT", "H (hierarchy only)", "mAP")
    return _from_variants(
        audited,
        changed,
        lambda gap, reasons: published.compare_sign(gap, -1, reasons),
        "token-semantic",
        "The token-semantic module raises mAP",
        f"AudioSet mAP {value_words(without, 'mAP')} without and {value_words(with_it, 'mAP')} "
        f"with it, by {PAPER} Table 1",
    )


def _rescored(scored: Rescored | None) -> Iterator[Claim]:
    for system in ("single", "ensemble"):
        entry = rescored.paper(system)
        assert entry is not None
        value = entry.figure("intersection_f1")
        assert value is not None
        text = f"Table 3 follows from the authors' own predictions ({entry.label})"
        said = f"event-based F1 {100 * value:.1f} %, by {entry.source}"
        if scored is None or system not in scored.systems:
            measured = "not scored here; `python -m bench rescore` does it"
            yield make_claim(f"rescored-{system}", text, said, measured, NOT_MEASURED)
            continue
        scores = scored.systems[system]
        macro = scores.intersection.macro_f1
        measured = (
            f"{100 * macro:.2f} % by intersection, "
            f"{100 * scores.event_based.macro_f1:.2f} % by collars of 200 ms"
        )
        verdict = Verdict("reproduced", "equal to the printed digit, by the intersection rule")
        if reason := rescored.unlike(scores):
            verdict = Verdict("not comparable", reason)
        elif not rescored.agrees(macro, value):
            kind: Kind = "better" if macro > value else "below"
            verdict = Verdict(kind, f"{off_by(macro, value)} off the printed figure")
        files = (RESCORED,)
        yield Claim(f"rescored-{system}", CLAIMS, text, said, measured, verdict, files, files)


def _figures(audited: Audited) -> Iterator[Claim]:
    """The leading figure of every group that has a published one."""
    for dataset, settings in audited.config.datasets.items():
        for group in audited.base_groups(dataset):
            listed = group.at_hand_set
            for chosen, how in ((group, ""), (listed, ", hand-set thresholds")):
                compared = chosen and published.against(audited, chosen, settings.metric)
                if not chosen or not compared:
                    continue
                entry, name = compared.entry, model_name(audited.config, group.model)
                place = short_dataset_name(audited.config, dataset)
                shown = value_words(compared.value, settings.metric)
                claim = make_claim(
                    f"figure-{dataset}-{group.model}{how}",
                    f"{name} on {place}, {METRICS[settings.metric]}{how}",
                    f"{shown}: {entry.label}, by {entry.source}; {entry.protocol}",
                    _words(chosen, settings.metric) or "no figure",
                    compared.verdict,
                    [chosen],
                )
                yield replace(claim, section=FIGURES)
