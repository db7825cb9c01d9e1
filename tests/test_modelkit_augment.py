"""SpecAugment against torchlibrosa with the same draws; mixup against its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.frame_transformer import ATSTFrame, Dasheng
from baselines.mobilenet import MobileNet
from baselines.passt import PaSST
from modelkit.augment import Augment, Mixup, Pairing, SpecAugment


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def test_masks_equal_torchlibrosas_for_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchlibrosa import augmentation

    stripes = SpecAugment()
    augment = Augment.draw(6, rng(1), stripes=stripes)
    x = torch.randn(6, 1001, 64)
    uniform = [
        value
        for draws in (augment.time_draws, augment.mel_draws)
        for value in draws.flatten().tolist()
    ]
    upcoming: Iterator[float] = iter(uniform)

    def drawn(low: int, high: int, size: tuple[int]) -> torch.Tensor:
        assert low == 0
        return torch.tensor([int(next(upcoming) * int(high))])

    oracle = augmentation.SpecAugmentation(64, 2, 8, 2).train()
    monkeypatch.setattr(augmentation.torch, "randint", drawn)
    expected = oracle(x.clone()[:, None])[:, 0]
    assert next(upcoming, None) is None
    assert torch.equal(augment.mask(x), expected)
    assert (expected == 0).any()


def test_stripe_widths_are_uniform_below_the_limit() -> None:
    stripes = SpecAugment(time_stripes=1, time_width=10, mel_stripes=0)
    augment = Augment.draw(4000, rng(2), stripes=stripes)
    hidden = (augment.mask(torch.ones(4000, 50, 3)) == 0).all(2)
    widths = hidden.sum(1)
    counts = torch.bincount(widths, minlength=10)
    assert counts.shape == (10,)
    assert counts.min() > 300
    assert counts.max() < 500
    edges = hidden.int().diff(dim=1).abs().sum(1)  # one stripe is one run
    assert edges.max() == 2
    assert hidden[:, 0].any()
    assert hidden[:, -2].any()
    assert not hidden[:, -1].any()  # torchlibrosa never draws the last position


def test_fill_replaces_the_mask_value_and_the_input_is_kept() -> None:
    augment = Augment.draw(2, rng(3), stripes=SpecAugment(time_width=8))
    x = torch.randn(2, 40, 16)
    kept = x.clone()
    masked = augment.mask(x, fill=-7.0)
    assert torch.equal(x, kept)
    assert set(masked[masked != x].tolist()) == {-7.0}


def test_a_stripe_wider_than_the_features_is_refused() -> None:
    augment = Augment.draw(2, rng(4), stripes=SpecAugment(time_width=64))
    with pytest.raises(ValueError, match="stripes below 64 wide do not fit into 63 values"):
        augment.mask(torch.zeros(2, 63, 16))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 6).map(lambda n: 2 * n),
    st.sampled_from(["reversed", "pairs", "permutation"]),
    st.booleans(),
)
def test_mixup_is_its_definition(batch: int, pairing: Pairing, labels: bool) -> None:
    mixup = Mixup(alpha=0.5, pairing=pairing, labels=labels)
    augment = Augment.draw(batch, rng(batch), mixup=mixup)
    x, y = torch.randn(batch, 5, 3), torch.rand(batch, 4)
    mixed, targets = augment.mix(x), augment.targets(y)
    expected = {
        "reversed": (list(range(batch)), list(range(batch))[::-1]),
        "pairs": (list(range(0, batch, 2)), list(range(1, batch, 2))),
        "permutation": (list(range(batch)), augment.second.tolist()),
    }[pairing]
    assert sorted(augment.second.tolist()) == sorted(expected[1])
    assert ((augment.share >= 0) & (augment.share <= 1)).all()
    for item, (first, second) in enumerate(zip(*expected, strict=True)):
        share = augment.share[item]
        torch.testing.assert_close(mixed[item], share * x[first] + (1 - share) * x[second])
        target = share * y[first] + (1 - share) * y[second] if labels else y[first]
        torch.testing.assert_close(targets[item], target)
    assert len(mixed) == len(targets) == len(expected[0])


@pytest.mark.parametrize("alpha", [0.5, 10.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    share = Augment.draw(
        20000, rng(5), mixup=Mixup(alpha=alpha, pairing="reversed", labels=False)
    ).share
    assert share.mean().item() == pytest.approx(0.5, abs=0.01)
    assert share.var().item() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.05)


def test_rate_leaves_the_other_clips_alone() -> None:
    augment = Augment.draw(
        10000, rng(6), mixup=Mixup(alpha=10, rate=0.3, pairing="reversed", labels=False)
    )
    untouched = augment.share == 1
    assert untouched.float().mean().item() == pytest.approx(0.7, abs=0.02)
    x = torch.randn(10000, 2)
    assert torch.equal(augment.mix(x)[untouched], x[untouched])


def test_the_same_key_draws_the_same_numbers() -> None:
    def draw(*key: int) -> Augment:
        return Augment.draw(
            8,
            rng(*key),
            stripes=SpecAugment(),
            mixup=Mixup(alpha=0.5, pairing="reversed", labels=False),
        )

    x = torch.randn(8, 128, 32)
    one, same, other = draw(970131, 3, 7), draw(970131, 3, 7), draw(970131, 3, 8)
    assert torch.equal(one.mix(one.mask(x)), same.mix(same.mask(x)))
    assert not torch.equal(one.mask(x), other.mask(x))
    assert not torch.equal(one.share, other.share)


def test_switching_one_augmentation_leaves_the_draws_of_the_other() -> None:
    both = Augment.draw(
        4, rng(7), stripes=SpecAugment(), mixup=Mixup(alpha=0.5, pairing="reversed", labels=False)
    )
    masks = Augment.draw(4, rng(7), stripes=SpecAugment())
    mixes = Augment.draw(4, rng(7), mixup=Mixup(alpha=0.5, pairing="reversed", labels=False))
    x = torch.randn(4, 128, 32)
    assert torch.equal(both.mask(x), masks.mask(x))
    assert torch.equal(both.mix(x), mixes.mix(x))
    assert masks.mix(x) is x
    assert mixes.mask(x) is x
    assert masks.targets(x) is x


def test_odd_batches_have_no_pairs() -> None:
    with pytest.raises(ValueError, match="a batch of 5 cannot be mixed in pairs"):
        Augment.draw(5, rng(8), mixup=Mixup(alpha=0.5, pairing="pairs", labels=False))
    middle = Augment.draw(5, rng(8), mixup=Mixup(alpha=0.5, pairing="reversed", labels=False))
    x = torch.randn(5, 2)
    torch.testing.assert_close(middle.mix(x)[2], x[2])


@pytest.mark.parametrize("settings_", [{"alpha": 0.0}, {"alpha": 0.5, "rate": 1.5}])
def test_impossible_mixup_is_refused(settings_: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="alpha > 0"):
        Mixup(**settings_)


LOG_ZERO = (0 + 4.5) / 5
"""The logarithm of 0 as EfficientAT and PaSST normalise it."""


@pytest.mark.parametrize(
    ("make", "mels", "fill"),
    [
        (lambda: PaSST(3, preset="tiny", frames=200), 128, LOG_ZERO),
        (lambda: MobileNet(3, preset="tiny"), 128, LOG_ZERO),
        (lambda: ATSTFrame(3, preset="tiny", mask_value=-1.0), 64, -1.0),
        (lambda: Dasheng(3, preset="tiny", mask_value=-1.0), 64, -1.0),
    ],
    ids=["passt", "mobilenet", "atst_frame", "dasheng"],
)
def test_models_mask_before_they_mix(
    make: Callable[[], torch.nn.Module], mels: int, fill: float
) -> None:
    model, features = make().eval(), torch.randn(4, 200, mels)
    augment = Augment.draw(
        4, rng(0), stripes=SpecAugment(2, 64, 2, 8), mixup=Mixup(alpha=0.5, labels=True)
    )
    seen = augment.mix(augment.mask(features, fill=fill))
    with torch.inference_mode():
        expected = model(seen).clip_logits
        torch.testing.assert_close(model(features, augment=augment).clip_logits, expected)
