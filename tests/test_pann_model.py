"""PANN: shapes, pooling of probabilities in the log domain, counts, and the embedded front end."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baselines.pann import PANN, pooled_logits
from bench.audio.mel import slaney_filters
from modelkit.frontend import mel_matrix

DECISION = ("decision_max", "decision_avg", "decision_att")


def small(variant: str = "decision_max", **arguments) -> PANN:
    size = {"channels": (4, 8, 16), "frames": 40, "mels": 16, "seconds": 1.6}
    return PANN(5, variant=variant, preset="tiny", **(size | arguments))


@pytest.mark.parametrize(
    ("variant", "trainable", "published"),
    [
        ("cnn14", 80_753_615, 81_837_071),
        ("decision_max", 80_753_615, 81_837_071),
        ("decision_avg", 80_753_615, 81_837_071),
        ("decision_att", 81_834_492 - 1_054, 81_834_492 + 1_083_456),  # 1,054 in unused bn_att
    ],
)
def test_parameter_counts_are_the_published_ones(variant, trainable, published):
    with torch.device("meta"):
        model = PANN(variant=variant)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable
    assert model.published_parameters == published


@pytest.mark.parametrize("frames", [40, 43, 81])
@pytest.mark.parametrize("variant", DECISION)
def test_segments_have_a_fixed_duration_whatever_the_length(variant, frames):
    out = small(variant)(torch.randn(2, frames, 16))
    assert out.clip_logits.shape == (2, 5)
    assert out.frame_logits is not None
    assert out.frame_logits.shape == (2, -(-frames // 4), 5)  # rounded up
    assert out.seconds_per_frame == pytest.approx(4 * 0.04)


def test_the_papers_segments_last_32_hops():
    with torch.device("meta"):
        model = PANN()
    assert model.ratio == 32
    assert model.seconds_per_segment == pytest.approx(0.32, abs=1e-12)


def test_cnn14_locates_nothing():
    out = small("cnn14")(torch.randn(2, 40, 16))
    assert out.frame_logits is None
    assert out.clip_logits.shape == (2, 5)


def test_wrong_arguments_and_features_name_the_remedy():
    with pytest.raises(ValueError, match="known: cnn14, decision_max"):
        PANN(variant="cnn10")
    with pytest.raises(ValueError, match="known: paper, tiny"):
        PANN(preset="huge")
    with pytest.raises(ValueError, match="40 frames x 2 mels vanish in 3 blocks; PANN needs 4"):
        small(mels=2)
    for shape in [(2, 3, 16), (2, 40, 8), (40, 16)]:
        with pytest.raises(ValueError, match=r"takes features \(B, at least 4, 16\)"):
            small()(torch.zeros(shape))


def test_the_shortest_input_is_the_published_one():
    """9,920 samples make 32 frames, which are one segment; one sample less is refused."""
    model = PANN(5, variant="decision_max", channels=(2, 2, 2, 2, 2, 2)).eval()
    assert model(torch.randn(1, 9920 // 320 + 1, 64)).frame_logits.shape == (1, 1, 5)
    with pytest.raises(ValueError, match="at least 32"):
        model(torch.randn(1, 9919 // 320 + 1, 64))


def test_weights_start_as_published():
    """Xavier's uniform distribution everywhere, no biases, batch norms at 1 and 0."""
    torch.manual_seed(0)
    model = PANN(5, variant="decision_att", preset="tiny", mels=16, frames=40)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear):
            inputs, outputs = nn.init._calculate_fan_in_and_fan_out(module.weight)
            bound = (6 / (inputs + outputs)) ** 0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound
            assert module.bias is None or not module.bias.any()


# --- probabilities pooled in the log domain ------------------------------------------------------

LOGITS = st.lists(
    st.tuples(st.floats(-12, 12), st.floats(-10, 10)), min_size=1, max_size=12
)  # (segment logit, attention)


@settings(max_examples=60, deadline=None)
@given(LOGITS)
def test_pooled_logits_are_the_logit_of_the_pooled_probability(pairs):
    segments, attention = torch.tensor(pairs, dtype=torch.float64).T[:, None, :, None]
    weights = attention.softmax(dim=1)
    probability = (weights * segments.sigmoid()).sum(dim=1)
    pooled = pooled_logits(segments, attention)
    torch.testing.assert_close(pooled.sigmoid(), probability, rtol=1e-9, atol=1e-12)
    assert segments.min() - 1e-6 <= pooled.item() <= segments.max() + 1e-6


def test_pooled_logits_stay_finite_where_probabilities_round_to_0_or_1():
    for value in (-500.0, 500.0):
        segments = torch.full((1, 31, 1), value, requires_grad=True)
        pooled = pooled_logits(segments, torch.zeros(1, 31, 1))
        pooled.sum().backward()
        assert pooled.item() == pytest.approx(value)
        assert segments.grad.sum().item() == pytest.approx(1.0, abs=1e-4)


def test_losses_on_pooled_logits_have_the_gradients_of_losses_on_probabilities():
    """PANNs train binary cross-entropy on probabilities; logits must not change the training."""
    torch.manual_seed(0)
    segments = (3 * torch.randn(4, 31, 6, dtype=torch.float64)).requires_grad_()
    attention = torch.randn(4, 31, 6, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(4, 6, dtype=torch.float64).round()
    probability = (attention.softmax(dim=1) * segments.sigmoid()).sum(dim=1)
    theirs = torch.autograd.grad(
        F.binary_cross_entropy(probability, targets), (segments, attention)
    )
    loss = F.binary_cross_entropy_with_logits(pooled_logits(segments, attention), targets)
    for ours, wanted in zip(torch.autograd.grad(loss, (segments, attention)), theirs, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-12)


def test_frames_left_over_at_the_end_belong_to_the_last_segment():
    """As the authors pad: 1001 frames make 31 segments of 32 frames, the last one reaches on."""
    torch.manual_seed(0)
    model = small("decision_avg").eval()
    whole, longer = torch.randn(1, 40, 16), torch.randn(1, 3, 16)
    longer = torch.cat([whole, longer], dim=1)
    exact, padded = model(whole), model(longer)
    assert exact.frame_logits.shape[1] == 10
    assert padded.frame_logits.shape[1] == 11
    assert torch.equal(padded.frame_logits[:, 10], padded.frame_logits[:, 9])
    own = padded.frame_logits[:, :10].sigmoid().mean(dim=1)
    torch.testing.assert_close(padded.clip_logits.sigmoid(), own)  # the padding counts for nothing


@pytest.mark.parametrize(("rate", "window", "fmax"), [(32000, 1024, 14000), (16000, 512, 8000)])
def test_released_mel_matrices_are_compared_with_the_mels_that_features_are_made_with(
    rate, window, fmax
):
    ours = slaney_filters(rate, window, 64, 50.0, float(fmax)).toarray()
    assert abs(mel_matrix(rate, window, 64, 50.0, float(fmax)) - ours).max() < 1e-8
