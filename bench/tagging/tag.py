"""`python -m bench tag AUDIO --checkpoint FILE`: what sounds in a recording, and when."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.files import UserError, atomic_write, read_json
from bench.models.card import Card

if TYPE_CHECKING:
    import torch

    from bench.evaluation.localization import OperatingPoint

BATCH = 8  # windows per forward pass
UNKNOWN_THRESHOLD = 0.5  # where no threshold was chosen on validation data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("audio", type=Path, help="WAV, FLAC, OGG, MP3; any rate, channels, length")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="a run's model.pt, or a file released by a model's authors",
    )
    parser.add_argument(
        "--as",
        dest="entry",
        metavar="NAME",
        help="which entry of config/registry/checkpoints.yaml FILE is, where its name does not say",
    )
    parser.add_argument("--top", type=int, default=5, help="labels to print (default: 5)")
    parser.add_argument(
        "--threshold",
        type=float,
        help="a class is active above it (default: the run's own thresholds, else 0.5)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--picture", type=Path, metavar="OUT.png", help="draw spectrogram and event map"
    )


def run(args: argparse.Namespace) -> int:
    """Tag and print.

    Raises:
        UserError: no usable audio, a checkpoint that cannot be used, or a picture that cannot be
            written.
    """
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise UserError(f"--threshold {args.threshold}: must lie between 0 and 1")
    if args.top < 1:
        raise UserError(f"--top {args.top}: must be at least 1")
    if args.picture is not None and args.picture.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(f"--picture {args.picture}: give a name that ends in .png, .svg or .pdf")
    tagged = tag(args.audio, args.checkpoint, entry=args.entry, threshold=args.threshold)
    if args.picture is not None:
        from bench.tagging.picture import draw

        with atomic_write(args.picture) as temporary:
            draw(tagged, temporary, args.picture.suffix.lower().removeprefix("."))
    if args.json:
        print(json.dumps(as_json(tagged, args.top), indent=1, allow_nan=False))
    else:
        print(as_text(tagged, args.top))
    return 0


class Event(NamedTuple):
    """One located event: seconds, and the mean probability over its frames."""

    onset: float
    offset: float
    label: str
    score: float


@dataclass(frozen=True)
class Tagged:
    """What a model heard in one recording.

    Attributes:
        duration_s: of the recording; windows: pieces that it was cut into.
        clip_scores: (C,) probabilities: the mean over the windows where classes exclude each other,
            else the largest.
        frame_scores: (T, C) on the recording's time axis, or None where the model cannot localize.
        thresholds: (C,), and in words where they come from.
        events: in order of time.
        features: (frames, F) of the whole recording, for pictures.
        notes: what was unusual about the file.
    """

    audio: str
    card: Card
    duration_s: float
    windows: int
    clip_scores: np.ndarray
    frame_scores: np.ndarray | None
    seconds_per_frame: float
    thresholds: tuple[float, ...]
    threshold_source: str
    events: tuple[Event, ...]
    features: np.ndarray
    notes: tuple[str, ...]


def tag(
    audio: Path, checkpoint: Path, *, entry: str | None = None, threshold: float | None = None
) -> Tagged:
    """Run a checkpoint over a recording of any length.

    Longer recordings than the model was made for are cut into windows that overlap by half.

    Raises:
        UserError: no usable audio, or a checkpoint that cannot be used.
    """
    from bench.audio.decode import AudioError, decode
    from bench.models import networks
    from bench.models.windows import stitch, window_samples, window_starts

    model, card = networks.open_checkpoint(checkpoint, entry)
    rate = card.front_end.sample_rate
    try:
        sound = decode(audio, rate)
    except AudioError as error:
        raise UserError(str(error)) from error
    front_end, window = card.front_end.transform, window_samples(card.front_end)
    starts = window_starts(len(sound.samples), window)
    parts = [front_end.features(sound.samples[start : start + window]) for start in starts]
    clips, frames, step = _score(model, card, parts, front_end.silence)
    duration = len(sound.samples) / rate
    point = _operating_point(card, checkpoint, threshold)
    stitched, events = None, []
    if frames is not None:
        stitched = stitch(frames, [start / rate for start in starts], step, duration)
        events = _located(stitched, step, point, duration)
    notes = [*sound.repairs, *(["the recording is silent"] if sound.silent else [])]
    return Tagged(
        audio=str(audio),
        card=card,
        duration_s=duration,
        windows=len(starts),
        clip_scores=clips.max(axis=0) if card.loss == "bce" else clips.mean(axis=0),
        frame_scores=stitched,
        seconds_per_frame=step,
        thresholds=point.thresholds,
        threshold_source=point.source,
        events=tuple(events),
        features=front_end.features(sound.samples),
        notes=tuple(notes),
    )


def _score(
    model: torch.nn.Module, card: Card, parts: list[np.ndarray], silence: float
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Clip scores (W, C), frame scores (W, T', C) or None, and seconds per frame."""
    import torch

    from bench.data.task import assembled
    from bench.models.scoring import probabilities
    from bench.process.meter import Meter

    model.eval()
    clips, frames, step = [], [], 0.0
    with torch.no_grad(), Meter("windows", len(parts), "windows") as meter:
        for begin in range(0, len(parts), BATCH):
            some = parts[begin : begin + BATCH]
            batch = assembled(some, card.front_end, silence, card.scale)
            output = model(torch.from_numpy(batch))
            clips.append(probabilities(output.clip_logits, card.loss).numpy())
            if output.frame_logits is not None:
                frames.append(output.frame_logits.sigmoid().numpy())
                step = output.seconds_per_frame
            meter.add(len(some))
    return np.concatenate(clips), np.concatenate(frames) if frames else None, step


def _operating_point(card: Card, checkpoint: Path, threshold: float | None) -> OperatingPoint:
    """The asked threshold, else those in the record beside a run's weights, else one for all."""
    from bench.evaluation.localization import OperatingPoint

    record = checkpoint.parent / "record.json"
    if threshold is None and record.exists():
        chosen: Mapping[str, Any] | None = (
            read_json(record).get("localization", {}).get("operating_point")
        )
        if chosen is not None and tuple(chosen["classes"]) == card.classes:
            return OperatingPoint(
                card.classes,
                tuple(chosen["thresholds"]),
                tuple(chosen["median_filters"]),
                chosen["source"],
            )
    value = UNKNOWN_THRESHOLD if threshold is None else threshold
    count = len(card.classes)
    source = "given" if threshold is not None else "none was chosen for this checkpoint"
    return OperatingPoint(card.classes, (value,) * count, (1,) * count, source)


def _located(
    frames: np.ndarray, step: float, point: OperatingPoint, duration: float
) -> list[Event]:
    from bench.evaluation.localization import detect

    classes = list(point.classes)
    table = detect(frames[None], step, ["audio"], classes, point, {"audio": duration})
    events = []
    columns = (table["onset"], table["offset"], table["event_label"])
    for onset, offset, label in zip(*columns, strict=True):
        first = round(onset / step)
        span = frames[first : max(first + 1, round(offset / step)), classes.index(label)]
        events.append(Event(float(onset), float(offset), str(label), float(span.mean())))
    return sorted(events)


def as_json(tagged: Tagged, top: int) -> dict[str, Any]:
    """Everything but the frame scores, as JSON values."""
    return {
        "audio": tagged.audio,
        "duration_s": round(tagged.duration_s, 6),
        "windows": tagged.windows,
        "checkpoint": tagged.card.name,
        "architecture": tagged.card.architecture,
        "labels": [
            {"label": label, "probability": round(score, 6)} for label, score in best(tagged, top)
        ],
        "can_localize": tagged.frame_scores is not None,
        "seconds_per_frame": tagged.seconds_per_frame or None,
        "thresholds": dict(zip(tagged.card.classes, tagged.thresholds, strict=True)),
        "threshold_source": tagged.threshold_source,
        "events": [{**event._asdict(), "score": round(event.score, 6)} for event in tagged.events],
        "notes": list(tagged.notes),
    }


def best(tagged: Tagged, top: int) -> list[tuple[str, float]]:
    """The labels with the highest clip scores, best first."""
    order = np.argsort(-tagged.clip_scores, kind="stable")[:top]
    return [(tagged.card.classes[place], float(tagged.clip_scores[place])) for place in order]


def as_text(tagged: Tagged, top: int) -> str:
    """Two tables: top labels, located events."""
    lines = [
        f"{tagged.audio}: {tagged.duration_s:.2f} s, {tagged.windows} window"
        f"{'s' if tagged.windows > 1 else ''}, by {tagged.card.name}",
        *(f"note: {note}" for note in tagged.notes),
        "",
        "probability  label",
        *(f"{score:11.3f}  {label}" for label, score in best(tagged, top)),
        "",
    ]
    if tagged.frame_scores is None:
        return "\n".join([*lines, "this model cannot localize: it has no outputs over time"])
    if not tagged.events:
        return "\n".join([*lines, f"no event above its threshold ({tagged.threshold_source})"])
    lines.append(" onset s  offset s  score  event")
    lines += [
        f"{event.onset:8.2f}  {event.offset:8.2f}  {event.score:5.3f}  {event.label}"
        for event in tagged.events
    ]
    return "\n".join(lines)
