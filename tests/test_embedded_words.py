"""Spoken words: the same samples whatever was said before, speakers, and the split rule."""

from __future__ import annotations

import hashlib
import multiprocessing

import numpy as np
import pytest

from synth import words
from synth.synth import stream
from synth.write_speechcommands import side

SPEAKERS = words.speakers()


def digest(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()[:16]


def test_known_words():
    said = {
        (speaker.voice, word): digest(samples)
        for speaker in (SPEAKERS[0], SPEAKERS[2], SPEAKERS[-1])
        for word, samples in zip(("no", "tree"), words.speak(speaker, ("no", "tree")), strict=True)
    }
    assert said == {
        ("en-us-nyc+pablo", "no"): "cde4bad43750bf24",
        ("en-us-nyc+pablo", "tree"): "5fc4a15dc71d2676",
        ("en-029+m5", "no"): "9003940fe60dbef3",
        ("en-029+m5", "tree"): "53f6ae87149d0ac4",
        ("en-gb-scotland+kaukovalta", "no"): "5d2605d2f1259b6d",
        ("en-gb-scotland+kaukovalta", "tree"): "f7d72954c2ea6321",
    }


def _first_word(index: int) -> str:
    return digest(words.speak(SPEAKERS[index], words.COMMANDS)[0])


def test_samples_do_not_depend_on_what_was_said_before():
    fresh = [_first_word(index) for index in range(4)]
    backwards = [_first_word(index) for index in (3, 2, 1, 0)]
    assert backwards[::-1] == fresh
    with multiprocessing.get_context("fork").Pool(2) as pool:  # with the parent's server inherited
        assert pool.map(_first_word, range(4), chunksize=1) == fresh


def test_speakers_are_many_and_distinct():
    assert len(SPEAKERS) == 704
    assert len({speaker.key for speaker in SPEAKERS}) == 704
    assert not {speaker.variant for speaker in SPEAKERS} & words.NOVELTY_VOICES
    assert all(130 <= speaker.wpm <= 200 for speaker in SPEAKERS)
    assert len({digest(words.speak(s, ("up",))[0]) for s in SPEAKERS[:12]}) == 12


def test_a_missing_voice_is_an_error():
    stranger = words.Speaker("nobody", "en-atlantis", 150, 50, 50)
    with pytest.raises(RuntimeError, match="en-atlantis"):
        words.speak(stranger, ("yes",))
    assert len(words.speak(SPEAKERS[0], ("yes",))) == 1  # the server lives on


def test_sentences_vary():
    said = {words.sentence(stream("sentence", index)) for index in range(40)}
    assert len(said) > 25
    assert all(2 <= len(text.split()) <= 12 for text in said)


@pytest.mark.parametrize(
    ("speaker", "split"),
    [("026290a7", "validation"), ("060cd039", "validation"), ("bb05582b", "test")],
)
def test_split_rule_gives_the_published_sides(speaker: str, split: str):
    """Speakers of the published validation_list.txt and testing_list.txt."""
    assert side(speaker) == split


def test_split_rule_gives_ten_percent_each():
    sides = [side(speaker.key) for speaker in SPEAKERS]
    assert 0.06 < sides.count("validation") / 704 < 0.14
    assert 0.06 < sides.count("test") / 704 < 0.14
