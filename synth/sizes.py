"""Size and difficulty of the embedded corpora."""

from __future__ import annotations

from pydantic import Field

from bench.strict import Strict


class EmbeddedSizes(Strict):
    """Numbers of clips, and the parameters of their difficulty.

    The defaults make the corpora of config/default.yaml. Their difficulty was set by validation
    figures of a linear model and a plain CNN (docs/embedded.md) and frozen.
    """

    seed: int = Field(default=0, description="another seed, other corpora of the same kind")
    sources: int = Field(default=60, ge=10, le=99, description="synthetic sources per class")
    clip_seconds: float = Field(default=5.0, ge=2.0, le=30.0, description="of a soundscape")
    sounds: tuple[float, float, float, float] = Field(
        default=(0.45, 0.3, 0.17, 0.08), description="shares of soundscapes with 1 to 4 sounds"
    )
    scene_snr_db: tuple[float, float] = Field(default=(8.0, 22.0), description="events over beds")
    single_snr_db: tuple[float, float] = Field(default=(3.0, 25.0), description="in esc50")
    word_snr_db: tuple[float, float] = Field(default=(-6.0, 12.0), description="words over noise")
    room: float = Field(default=1.0, ge=0, description="level of reverberation; 0 = none")
    variation: float = Field(default=1.0, ge=0, description="change between takes")

    audioset_rate: int = Field(default=16_000, ge=8_000, multiple_of=50, description="Hz")
    balanced: int = Field(default=240, ge=1, description="clips of the balanced training list")
    unbalanced: int = Field(default=720, ge=1, description="clips of the unbalanced training list")
    evaluation: int = Field(default=300, ge=1, description="clips of the evaluation list")

    esc_classes: int = Field(default=20, ge=2, le=50, description="classes of esc50")
    esc_clips: int = Field(default=4, ge=1, le=26, description="clips per class and fold")

    words: int = Field(default=12, ge=2, le=12, description="command words")
    speakers: int = Field(default=200, ge=10, le=600, description="speakers of command words")
    noise_seconds: float = Field(default=20.0, ge=1.0, description="of each noise file")

    desed_rate: int = Field(default=16_000, ge=8_000, multiple_of=50, description="Hz")
    weak: int = Field(default=320, ge=1, description="training clips with clip labels")
    strong: int = Field(default=320, ge=1, description="synthetic training soundscapes with times")
    validation: int = Field(default=160, ge=1, description="clips with times, for thresholds")
    public: int = Field(default=240, ge=1, description="clips with times, for the test")
    distractor_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of desed with an unlabelled sound",
    )
    empty_share: float = Field(
        default=0.05, ge=0, le=1, description="share of strongly labelled clips without any event"
    )
