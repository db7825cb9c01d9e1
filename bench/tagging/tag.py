"""`python -m bench tag AUDIO --checkpoint FILE`: labels and located events of a recording."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.files import UserError, refuse_output
from bench.models.card import Card
from bench.results.record import OperatingPoint, Record

if TYPE_CHECKING:
    import torch


UNKNOWN_THRESHOLD = 0.5  # where no threshold was chosen on validation data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "audio",
        type=_named,
        nargs="+",
        help="WAV, FLAC, Ogg, Opus or MP3 of any rate, channels and length, or folders of them",
    )
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
        help="the entry of config/registry/checkpoints.yaml for FILE, if its name does not say",
    )
    parser.add_argument(
        "--plugin",
        metavar="MODULE:CLASS",
        help="a class outside this project that FILE may name as its model; its code is run",
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="CPU threads; the last digits may depend on it (default: those of the run's record)",
    )
    parser.add_argument("--top", type=int, default=5, help="labels to print (default: 5)")
    parser.add_argument(
        "--threshold",
        type=float,
        help="a class is active above it (default: the run's own thresholds, else 0.5)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON instead of tables; of several recordings, a line each",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="OUT.csv",
        help="write labels and events of all recordings to one CSV instead of printing them",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="OUT.png",
        help="draw spectrogram and event map of one recording",
    )


def _named(text: str) -> Path:
    """A path; an empty one, such as an unset variable gives, would be the present folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name")
    return Path(text)


def run(args: argparse.Namespace) -> int:
    """Tag and print; of several recordings, those that cannot be used are reported and left out.

    Raises:
        UserError: no usable audio, a checkpoint that cannot be used, or a picture or CSV that
            cannot be written.
    """
    from bench.tagging.shown import printed, recordings, table

    if args.threshold is not None and not 0 < args.threshold < 1:
        raise UserError(f"--threshold {args.threshold}: must lie between 0 and 1")
    if args.picture is not None and args.picture.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(f"--picture {args.picture}: give a name that ends in .png, .svg or .pdf")
    audio = recordings(args.audio)
    if args.picture is not None and len(audio) > 1:
        raise UserError(f"--picture {args.picture}: give one recording for one picture")
    read = [*audio, args.checkpoint]
    if args.csv is not None:
        refuse_output(args.csv, "--csv", read)
        read.append(args.csv)
        args.csv = args.csv.resolve()  # a link stays one
    if args.picture is not None:
        refuse_output(args.picture, "--picture", read)
        args.picture = args.picture.resolve()
    tagger = Tagger.open(
        args.checkpoint, entry=args.entry, threshold=args.threshold, plugin=args.plugin
    )
    if args.threads or tagger.threads:
        import torch

        torch.set_num_threads(args.threads or tagger.threads)
    with nullcontext(printed) if args.csv is None else table(args.csv) as write:
        return _tag_all(tagger, audio, args, write)


def _tag_all(
    tagger: Tagger, audio: list[Path], args: argparse.Namespace, show: Callable[..., None]
) -> int:
    """Tag recordings one after the other; 2 where one of several could not be used."""
    from bench.process.meter import Meter
    from bench.tagging.shown import drawn

    several, lost = len(audio) > 1, 0
    with Meter("tag", len(audio), "recordings") if several else nullcontext() as meter:
        for path in audio:
            try:
                tagged = tagger.tag(path, progress=meter is None)
            except UserError as error:
                if meter is None:
                    raise
                lost += 1
                meter.say(f"error: {error}")
            else:
                if args.picture is not None:
                    drawn(tagged, args.picture)
                show(tagged, args, several)
            if meter is not None:
                meter.add(1)
    if lost == len(audio):
        raise UserError(f"none of {lost} recordings could be used, see above")
    return 2 if lost else 0


class Event(NamedTuple):
    """One located event: seconds, and the mean probability over its frames."""

    onset: float
    offset: float
    label: str
    score: float


@dataclass(frozen=True)
class Tagged:
    """What a model predicts for one recording.

    Attributes:
        duration_s: of the recording; windows: pieces that it was cut into.
        clip_scores: (C,) probabilities: the mean over the windows if classes are exclusive, else
            the maximum.
        frame_scores: (T, C) float16 on the recording's time axis, possibly past its end if a model
            pads; None if the model cannot localize.
        thresholds: (C,), and their source in words.
        events: in order of time.
        features: (frames, F) float16 of the whole recording, without repetition, for pictures.
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
    """Run a checkpoint over a recording of any length, see `Tagger`."""
    return Tagger.open(checkpoint, entry=entry, threshold=threshold).tag(audio)


@dataclass(frozen=True)
class Tagger:
    """A checkpoint, ready to tag recordings of any length.

    A test clip of the benchmark gets the scores and events of its run's record, equal to the last
    digit on the same CPU type and number of threads.

    Attributes:
        point: its operating point for frame scores.
        threads: CPU threads that the run's record, beside its weights, was made with; 0 without.
    """

    checkpoint: Path
    model: torch.nn.Module
    card: Card
    point: OperatingPoint
    threads: int

    @classmethod
    def open(
        cls,
        checkpoint: Path,
        *,
        entry: str | None = None,
        threshold: float | None = None,
        plugin: str | None = None,
    ) -> Tagger:
        """Load a run's model.pt, or a released file (`entry` says which, else its name does).

        Args:
            plugin: the class outside of this project that a model.pt may name.

        Raises:
            UserError: a checkpoint that cannot be used.
        """
        from bench.models import networks

        model, card = networks.open_checkpoint(checkpoint, entry, plugin)
        record = _record_of(card, checkpoint.parent / "record.json")
        point = _operating_point(card, record, threshold)
        threads = record.provenance.threads if record else 0
        return cls(checkpoint, model, card, point, threads)

    def tag(self, audio: Path, progress: bool = True) -> Tagged:
        """Tag one recording; one longer than the model's input in windows that overlap by half.

        Args:
            progress: whether to show how many windows are done.

        Raises:
            UserError: no usable audio, or scores that are NaN.
        """
        from bench.audio.decode import AudioError
        from bench.data.recording import hear
        from bench.data.windows import window_starts
        from bench.models.scoring import score
        from bench.process.meter import Meter

        card, settings = self.card, self.card.front_end
        try:
            sound = hear(audio, settings)
        except AudioError as error:
            raise UserError(str(error)) from error
        stored = sound.features
        windows = len(window_starts(len(stored), settings.frames))
        with (
            Meter("windows", windows, "windows")
            if progress and windows > 1
            else nullcontext() as meter
        ):
            count = meter.add if meter else lambda _: None
            scores = score(self.model, [stored], settings, card.scale, card.loss, count)
        frames, step = next(iter(scores.frames()), None), scores.seconds_per_frame
        if any(np.isnan(part).any() for part in (scores.clip_scores, *scores.frames())):
            raise UserError(
                f"{self.checkpoint}: its scores of {audio} are NaN; train again, or fetch the file "
                "again"
            )
        located = [] if frames is None else _located(frames, step, self.point, sound.duration_s)
        return Tagged(
            audio=os.fsencode(audio).decode(errors="backslashreplace"),  # as a table can hold it
            card=card,
            duration_s=sound.duration_s,
            windows=windows,
            clip_scores=scores.clip_scores[0],
            frame_scores=frames,
            seconds_per_frame=step,
            thresholds=self.point.thresholds,
            threshold_source=self.point.source,
            events=tuple(located),
            features=stored[: sound.own_frames],
            notes=(*sound.repairs, *(["the recording is silent"] if sound.silent else [])),
        )


def _record_of(card: Card, path: Path) -> Record | None:
    """The record of a checkpoint's run; None if the file is absent or belongs to another run."""
    try:
        record = Record.read(path)
    except UserError:
        return None
    return record if record.key == card.name else None


def _operating_point(card: Card, record: Record | None, threshold: float | None) -> OperatingPoint:
    """The given threshold, else those in the run's record, else one for all."""
    from bench.models.scores import excludes

    exclusive = excludes(card.loss)
    located = record.localization if record else None
    chosen = located.operating_point if located else None
    if threshold is None and chosen is not None and chosen.classes == card.classes:
        return replace(chosen, validation_f1=(), chosen_on=None, exclusive=exclusive)
    value = UNKNOWN_THRESHOLD if threshold is None else threshold
    count = len(card.classes)
    source = "given" if threshold is not None else "none was chosen for this checkpoint"
    return OperatingPoint(card.classes, (value,) * count, (1,) * count, source, exclusive=exclusive)


def _located(
    frames: np.ndarray, step: float, point: OperatingPoint, duration: float
) -> list[Event]:
    """The events of frame scores (T, C); each with its class's mean score."""
    from bench.evaluation.localization import detect
    from bench.metrics.event_arrays import FrameScores

    scores = FrameScores(frames[None], step, ("audio",), point.classes, np.array([duration]))
    found, events = detect(scores, point), []
    for label, onset, offset in zip(found.label, found.onset, found.offset, strict=True):
        first = round(onset / step)
        span = frames[first : max(first + 1, round(offset / step)), label]
        score = float(span.mean(dtype=np.float64))
        events.append(Event(float(onset), float(offset), point.classes[label], score))
    return sorted(events)
