"""Ablations: factors with their levels, and the designs that make variants of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from pydantic import Field, model_validator

from bench.files import UserError
from bench.strict import Arguments, DistinctNames, DistinctSeeds, Strict, Values, known

BASE = "base"
JOIN = "+"
OTHER_STREAMS: Values = {"streams": 1}

Control = Literal["positive", "aa"]


class Level(Strict):
    """A level of a factor: changed model arguments, recipe values, or both; or a control."""

    why: str = Field(
        "",
        description="the change in words, for tables; empty: the changed values",
        examples=["attention windows of 8 tokens"],
    )
    model: Arguments = Field(
        default_factory=dict, description="changed model arguments", examples=[{"window_size": 8}]
    )
    recipe: Values = Field(
        default_factory=dict, description="changed recipe values", examples=[{"init": "random"}]
    )
    control: Control | None = Field(
        None,
        description="what the level tests the experiment with: positive: a change that must be "
        "found; aa: no change but other random streams, which must not be found",
    )

    @model_validator(mode="after")
    def _changes_nothing_as_aa(self) -> Level:
        if self.control == "aa":
            if self.model or self.recipe not in ({}, OTHER_STREAMS):
                raise ValueError("control aa changes random streams alone; leave out its values")
            object.__setattr__(self, "recipe", OTHER_STREAMS)
        return self

    @property
    def words(self) -> str:
        """What is changed, in words."""
        values = {**self.model, **self.recipe}
        if self.control == "aa" and not self.why:
            return "only other random streams"
        return self.why or ", ".join(f"{key} {value}" for key, value in values.items())


class AblationStudy(Strict):
    """An ablation study: factors that are varied for some models on some data sets.

    On each model and data set, its comparisons are one family for Holm's correction.

    Every factor has the level that the experiment's models and recipes stand for, and those named
    here. A variant is named by its changed levels, joined by "+".
    """

    title: str | None = Field(
        None,
        description="name in tables and findings; null: the key in words, or the name of the model "
        "that it is",
        examples=["structure of HTS-AT"],
    )
    models: DistinctNames = Field(description="models that are varied", examples=[["htsat"]])
    datasets: DistinctNames = Field(
        description="data sets that they are varied on", examples=[["desed"]]
    )
    seeds: DistinctSeeds | None = Field(
        None, description="some of the data set's seeds; null: all", examples=[[0, 1, 2]]
    )
    design: Literal["one_at_a_time", "full_grid", "leave_one_out"] = Field(
        "one_at_a_time",
        description="one_at_a_time: each level alone; full_grid: every combination; leave_one_out: "
        "all factors changed, and all but one",
    )
    reference: str = Field(
        BASE,
        description="a level that the variants of the other factors start from and are compared "
        "with; it is itself compared with base",
        examples=["no_pretraining"],
    )
    factors: dict[str, dict[str, Level]] = Field(
        min_length=1, description="factor -> level -> what it changes"
    )

    def variants(self) -> Iterator[Variant]:
        """What the design compares, in the order of the factors."""
        varied = dict(self.factors)
        if self.reference != BASE:
            fixed = next(name for name, levels in varied.items() if self.reference in levels)
            yield from (self._alone(name, level) for name, level in varied.pop(fixed).items())
        for levels, against in _DESIGNS[self.design](varied):
            undone = [name for name in against if name not in levels]
            yield self._variant(levels, against, undone)

    def check(self, where: str) -> None:
        """Check a study against what its design needs.

        Raises:
            UserError: a level that two factors share, an unknown reference, factors that do not
                fit the design, or levels that would be combined and set one value differently.
        """
        names = [name for levels in self.factors.values() for name in levels]
        for name in names:
            if names.count(name) > 1 or name == BASE or JOIN in name or "/" in name:
                raise UserError(
                    f"{where}.factors: level '{name}' needs another name: each names one level, "
                    f"without '/' and '{JOIN}', and '{BASE}' is what is changed"
                )
        known(self.reference, [BASE, *names], f"{where}.reference")
        varied = [levels for levels in self.factors.values() if self.reference not in levels]
        single = all(len(levels) == 1 for levels in varied)
        if self.design == "leave_one_out" and not (single and len(varied) > 1):
            raise UserError(
                f"{where}: leave_one_out takes two or more factors of one level each; "
                "use full_grid, or leave levels out"
            )
        for variant in self.variants():
            self._check_conflict(variant, where)

    def _check_conflict(self, variant: Variant, where: str) -> None:
        for section in ("model", "recipe"):
            combined = getattr(variant, section)
            for name in variant.levels:
                for key, value in getattr(self._level(name), section).items():
                    if combined[key] != value:
                        raise UserError(
                            f"{where}: levels combined in '{variant.name}' set {section} value "
                            f"'{key}' to {value!r} and {combined[key]!r}; put them in one factor"
                        )

    def _level(self, name: str) -> Level:
        return next(levels[name] for levels in self.factors.values() if name in levels)

    def _alone(self, name: str, level: Level) -> Variant:
        return Variant(name, BASE, (name,), level.words, level.model, level.recipe, level.control)

    def _variant(
        self, levels: tuple[str, ...], against: tuple[str, ...], undone: list[str]
    ) -> Variant:
        chosen = {name: self._level(name) for name in levels}
        start = () if self.reference == BASE else (self._level(self.reference),)
        model: dict[str, Any] = {}
        recipe: dict[str, Any] = {}
        for level in (*start, *chosen.values()):
            model |= level.model
            recipe |= level.recipe
        words = [f"without {self._level(name).words}" for name in undone]
        words = words or [level.words for level in chosen.values()]
        return Variant(
            JOIN.join(levels),
            JOIN.join(against) or self.reference,
            levels,
            "; ".join(words),
            model,
            recipe,
            self._level(levels[0]).control if len(levels) == 1 else None,
        )


@dataclass(frozen=True)
class Variant:
    """A model and recipe with some values changed, and the variant that it is compared with.

    `levels` are the changed levels (without the study's reference), `why` describes them. `control`
    is that of the changed level, if it is a control.
    """

    name: str
    against: str
    levels: tuple[str, ...]
    why: str
    model: Mapping[str, Any]
    recipe: Mapping[str, Any]
    control: Control | None = None


Factors = Mapping[str, Mapping[str, Level]]
Contrast = tuple[tuple[str, ...], tuple[str, ...]]


def _one_at_a_time(factors: Factors) -> Iterator[Contrast]:
    for levels in factors.values():
        yield from (((name,), ()) for name in levels)


def _full_grid(factors: Factors) -> Iterator[Contrast]:
    for chosen in product(*([None, *levels] for levels in factors.values())):
        changed = tuple(name for name in chosen if name is not None)
        if changed:
            yield changed, ()


def _leave_one_out(factors: Factors) -> Iterator[Contrast]:
    every = tuple(name for levels in factors.values() for name in levels)
    yield every, ()
    for left_out in every:
        yield tuple(name for name in every if name != left_out), every


_DESIGNS = {
    "one_at_a_time": _one_at_a_time,
    "full_grid": _full_grid,
    "leave_one_out": _leave_one_out,
}
