"""The speed comparison: equality first, ratios of turns, and the guard. No time is asserted."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.__main__ import main
from bench.code_digest import ROOT
from bench.reporting.speed import speed_chart, speed_table
from bench.results.speed import load_speed
from modelkit.output import ModelOutput
from speed import breakdown, feeding, measure, models, pairs, reading, tables, timing
from speed.pairs import Pair, Side, check_equal


def pair(scale: float = 1.0) -> Pair:
    """A linear layer and its twin, which may be off by a factor."""
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    twin = copy.deepcopy(ours)
    twin.weight.data *= scale
    return Pair(Side(ours, (4,), ours), Side(twin, (4,), twin), lambda x: x)


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PAIRS", {"twin": pairs.Entry("htsat", "its twin", "torch", pair)})
    monkeypatch.setattr(timing, "matmul_peak", lambda device, dtype: 1e9)
    monkeypatch.setattr(timing, "emulates_bf16", lambda device: False)


def test_unequal_sides_are_refused_before_anything_is_timed() -> None:
    assert check_equal(pair()) == 0
    with pytest.raises(measure.UserError, match="differ by"):
        check_equal(pair(scale=1.5))


def test_steps_take_turns_and_the_first_round_is_not_counted() -> None:
    seen: list[str] = []
    seconds = timing.interleaved({n: lambda n=n: seen.append(n) for n in "abc"}, 2)
    assert seen == list("abcbcacab")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2, "c": 2}


def test_ratios_pair_the_rounds() -> None:
    # The machine was half as fast in the second round: the ratio does not see it.
    assert timing.ratios([2.0, 4.0], [1.0, 2.0]) == {"median": 2.0, "min": 2.0, "max": 2.0}


def test_slope_is_the_exponent() -> None:
    sizes = [1.0, 2.0, 8.0]
    assert timing.slope(sizes, [3 * size**2 for size in sizes]) == pytest.approx(2)


def test_reading_is_measured_from_memory_and_from_disk() -> None:
    rows = reading.ahead(rounds=1, clips=256)
    assert [row["unit"] for row in rows] == ["clips/s", "µs"] * (2 * len(reading.PREPARED))
    assert all(row["value"] > 0 for row in rows)
    for rate, worked in zip(rows[::2], rows[1::2], strict=True):
        threads = int(rate["what"].split()[-2])
        assert rate["value"] * worked["value"] < 1.5e6 * threads  # CPU seconds per second


def test_peak_memory_sees_what_a_step_takes() -> None:
    found = timing.peak_memory(lambda: np.ones(64 * 2**20, np.uint8), torch.device("cpu"))
    assert found is None or 60 * 2**20 < found < 100 * 2**20


def test_every_figure_of_a_pair_is_there(
    twins: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    path = tmp_path / "speed.json"
    assert main(["speed", "--only", "models", "--quick", "--output", str(path)]) == 0
    assert not torch.backends.cudnn.allow_tf32
    printed = capsys.readouterr().out
    assert "| twin | training | 1 |" in printed
    assert main(["speed", "--show", str(path)]) == 0
    assert capsys.readouterr().out == printed
    found = json.loads(path.read_text())
    (row,) = found["pairs"]
    assert row["macs_per_clip"] == 12
    assert row["largest_difference"] == row["largest_difference_on_device"] == 0
    assert row["saved_activation_bytes_per_clip"]["ours fp32"] == 0  # its input is the batch
    training, inference = row["points"]
    assert (training["mode"], inference["mode"]) == ("training", "inference")
    for point in row["points"]:
        assert set(point["clips_per_second"]) == {
            f"{side} {precision}" for side in ("ours", "peer") for precision in ("fp32", "bf16")
        }
    work = {"training": 72, "inference": 24}  # operations per clip
    for point in row["points"]:
        rate = point["clips_per_second"]["ours fp32"]["median"]
        share = point["share_of_peak"]["ours fp32"]
        assert share == pytest.approx(work[point["mode"]] * rate / 1e9)
    ratio = training["times_peer_fp32"]["ours bf16"]["median"]
    measured = load_speed(path)
    assert measured is not None
    drawn = speed_chart(measured)
    assert f"training in bf16 beside fp32 {ratio:.2f}" in drawn.alt
    table = speed_table(measured)
    like = {line.label: line.entries for line in table.rows}
    assert list(like) == ["fp32 / fp32", "bf16 / bf16", "bf16 / fp32"]
    for point in row["points"]:
        shown = [like[name][f"{point['mode']}_ratio"].value for name in like]
        others = (point["times_peer_fp32"][f"ours {name}"] for name in ("fp32", "bf16"))
        fp32, mixed = (other["median"] for other in others)
        assert shown == [fp32, point["times_peer_bf16"]["median"], mixed]
        share = point["share_of_peak"]["ours bf16"]
        assert like["bf16 / bf16"][f"{point['mode']}_peak_percent"].value == share


def test_emulated_bf16_is_left_out(
    twins: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "emulates_bf16", lambda device: device == "cpu")
    path = tmp_path / "speed.json"
    main(["speed", "--only", "models", "--quick", "--output", str(path)])
    assert "bf16, emulated here, is not measured" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert list(found["matmul_peak_flops"]) == ["fp32"]
    assert list(found["pairs"][0]["points"][0]["clips_per_second"]) == ["ours fp32", "peer fp32"]
    measured = load_speed(path)
    assert measured is not None
    assert "bf16" not in speed_chart(measured).alt
    assert [row.label for row in speed_table(measured).rows] == ["fp32 / fp32"]


def test_a_damaged_measurement_is_named_by_the_report(tmp_path: Path) -> None:
    assert load_speed(tmp_path / "absent.json") is None
    path = tmp_path / "speed.json"
    path.write_text('{"pairs": [{}]}')
    with pytest.raises(measure.UserError, match=r"speed\.json: pairs\.0\.model: "):
        load_speed(path)


def test_the_guard_names_what_became_slower(
    twins: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "speed.json"
    main(["speed", "--only", "models", "--quick", "--output", str(path)])
    earlier = json.loads(path.read_text())
    assert measure.regressions(earlier, earlier) == []
    faster = copy.deepcopy(earlier)
    before = faster["pairs"][0]["points"][0]["times_peer_fp32"]["ours bf16"]
    before["median"] *= 1000
    path.write_text(json.dumps(faster))
    capsys.readouterr()
    assert main(["speed", "--only", "models", "--quick", "--against", str(path)]) == 1
    assert "slower than it was: twin training 1 ours bf16" in capsys.readouterr().out


def test_an_unknown_pair_is_named(twins: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--only", "models", "--pairs", "htsat/none"]) == 2
    assert "--pairs: unknown 'htsat/none'" in capsys.readouterr().err


def test_a_missing_peer_is_named_before_anything_is_timed(
    twins: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = pairs.Entry("htsat", "its twin", "no_such_package", pair)
    monkeypatch.setitem(pairs.PAIRS, "absent", missing)
    monkeypatch.setattr(models, "_measure_pair", lambda *_: pytest.fail("timed"))
    assert main(["speed", "--only", "models"]) == 2
    assert "no_such_package is not installed" in capsys.readouterr().err


def test_rounds_end_with_the_time_but_never_below_three() -> None:
    assert len(timing.interleaved({"step": lambda: None}, 7, budget_s=0)["step"]) == 3
    assert len(timing.interleaved({"step": lambda: None}, 2, budget_s=0)["step"]) == 2


def test_feeding_trains_on_what_the_store_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(feeding, "training_step", lambda side, precision: seen.append)
    monkeypatch.setattr(feeding.registry, "find", lambda *_: lambda classes: nn.Linear(1, classes))
    *rates, busy = feeding.feeding(rounds=1, steps=2)
    assert [row["unit"] for row in rates] == ["clips/s"] * 3
    assert busy["value"] > 0
    alone, fed = (seen[:2] + seen[4:6], seen[2:4])  # the second round begins with "train"
    assert all(x.shape == (4, feeding.FRAMES, feeding.MELS) for x in seen)
    assert all(torch.equal(x, alone[0]) for x in alone)
    assert not any(torch.equal(x, alone[0]) for x in fed)


def test_the_breakdown_of_a_step_accounts_for_all_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Net(nn.Sequential):
        def __init__(self, classes: int) -> None:
            super().__init__(nn.Linear(64, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, classes))

        def forward(self, x: torch.Tensor) -> ModelOutput:
            return ModelOutput(super().forward(x).mean(1), None, 0.0)

    monkeypatch.setattr(breakdown, "SHAPES", {"htsat": (50, 64)})
    monkeypatch.setattr(breakdown.registry, "find", lambda *_: Net)
    monkeypatch.setattr(timing, "matmul_peak", lambda device, dtype: 1e12)
    monkeypatch.setattr(timing, "emulates_bf16", lambda device: False)
    path = tmp_path / "speed.json"
    assert main(["speed", "--only", "breakdown", "--quick", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert main(["speed", "--show", str(path)]) == 0
    assert capsys.readouterr().out == printed
    for step in json.loads(path.read_text())["breakdown"]:
        shares = step["shares"]
        assert sum(shares.values()) == pytest.approx(1)
        for kind in (breakdown.PRODUCTS, "GELU, ReLU", "norms", "AdamW and gradients set to zero"):
            assert shares[kind] > 0, kind
        assert shares["convolutions"] == shares["softmax"] == 0
        assert 0 < step["of_peak"][breakdown.PRODUCTS] < 1
        assert step["of_peak"][breakdown.CONVOLUTIONS] is None
    assert "| share of a training step | htsat fp32, batch 4 | htsat bf16, batch 4 |" in printed


@pytest.mark.parametrize("name", ["performance.md", "appendix.md"])
def test_the_pages_hold_the_committed_measurement(tmp_path: Path, name: str) -> None:
    page, found = ROOT / "docs" / name, ROOT / "docs" / "speed.json"
    copied = tmp_path / "page.md"
    copied.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["speed", "--show", str(found), "--into", str(copied)]) == 0
    assert copied.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_a_page_gets_the_parts_that_were_measured_and_keeps_the_others() -> None:
    found = {"growth": [{"what": "jobs", "value": 1234.5, "unit": "s"}]}
    page = "A\n<!-- speed: growth -->\n<!-- end -->\nB\n<!-- speed: steps -->\nold\n<!-- end -->\nC"
    table = "| what | growth | unit |\n| --- | --- | --- |\n| jobs | 1,234 | s |"
    assert tables.put_into(page, found) == page.replace("growth -->\n", f"growth -->\n{table}\n")
    with pytest.raises(measure.UserError, match="for any of growth in that file"):
        tables.put_into("no marks", found)
