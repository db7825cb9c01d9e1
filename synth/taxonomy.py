"""Names of the bank's classes in ESC-50, AudioSet and DESED.

Machine ids and display names: AudioSet's class_labels_indices.csv and ontology. Targets: the class
table of ESC-50's README, read column by column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

ESC50 = (
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow",
    "rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds",
    "water_drops", "wind", "pouring_water", "toilet_flush", "thunderstorm",
    "crying_baby", "sneezing", "clapping", "breathing", "coughing",
    "footsteps", "laughing", "brushing_teeth", "snoring", "drinking_sipping",
    "door_wood_knock", "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening",
    "washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick", "glass_breaking",
    "helicopter", "chainsaw", "siren", "car_horn", "engine",
    "train", "church_bells", "airplane", "fireworks", "hand_saw",
)  # fmt: skip
"""Class names by target number."""

ESC10 = frozenset(
    ("dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby", "sneezing",
     "clock_tick", "helicopter", "chainsaw")
)  # fmt: skip

ANIMAL, PETS, WILD, LIVESTOCK = "/m/0jbk", "/m/068hy", "/m/01280g", "/m/0ch8v"
FOWL, BIRD, WATER, VEHICLE = "/m/025rv6n", "/m/015p6", "/m/0838f", "/m/07yv9"
AIRCRAFT, ALARM = "/m/0k5j", "/m/07pp_mv"

PARENTS = {
    ANIMAL: "Animal",
    PETS: "Domestic animals, pets",
    LIVESTOCK: "Livestock, farm animals, working animals",
    FOWL: "Fowl",
    WILD: "Wild animals",
    BIRD: "Bird",
    WATER: "Water",
    VEHICLE: "Vehicle",
    AIRCRAFT: "Aircraft",
    ALARM: "Alarm",
}
"""Display names of the ontology's inner nodes that several classes below share."""

AUDIOSET: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "dog": ("/m/0bt9lr", "Dog", (PETS, ANIMAL)),
    "cat": ("/m/01yrx", "Cat", (PETS, ANIMAL)),
    "cow": ("/m/01xq0k1", "Cattle, bovinae", (LIVESTOCK, ANIMAL)),
    "horse": ("/m/03k3r", "Horse", (LIVESTOCK, ANIMAL)),
    "pig": ("/m/068zj", "Pig", (LIVESTOCK, ANIMAL)),
    "sheep": ("/m/07bgp", "Sheep", (LIVESTOCK, ANIMAL)),
    "hen": ("/m/07st89h", "Cluck", (FOWL, LIVESTOCK, ANIMAL)),
    "rooster": ("/m/07qn5dc", "Crowing, cock-a-doodle-doo", (FOWL, LIVESTOCK, ANIMAL)),
    "duck": ("/m/09ddx", "Duck", (FOWL, LIVESTOCK, ANIMAL)),
    "roaring_cat": ("/m/0cdnk", "Roaring cats (lions, tigers)", (WILD, ANIMAL)),
    "chirping_birds": (
        "/m/020bb7",
        "Bird vocalization, bird call, bird song",
        (BIRD, WILD, ANIMAL),
    ),
    "crow": ("/m/04s8yn", "Crow", (BIRD, WILD, ANIMAL)),
    "owl": ("/m/09d5_", "Owl", (BIRD, WILD, ANIMAL)),
    "insects": ("/m/03vt0", "Insect", (WILD, ANIMAL)),
    "frog": ("/m/09ld4", "Frog", (WILD, ANIMAL)),
    "rain": ("/m/06mb1", "Rain", (WATER,)),
    "sea_waves": ("/m/034srq", "Waves, surf", (WATER,)),
    "running_water": ("/m/02jz0l", "Water tap, faucet", ()),
    "crackling_fire": ("/m/02_41", "Fire", ()),
    "wind": ("/m/03m9d0z", "Wind", ()),
    "thunderstorm": ("/m/0jb2l", "Thunderstorm", ()),
    "frying": ("/m/0dxrf", "Frying (food)", ()),
    "engine": ("/m/02mk9", "Engine", ()),
    "train": ("/m/07jdr", "Train", (VEHICLE,)),
    "traffic": ("/m/0btp2", "Traffic noise, roadway noise", (VEHICLE,)),
    "helicopter": ("/m/09ct_", "Helicopter", (AIRCRAFT, VEHICLE)),
    "airplane": ("/m/0cmf2", "Fixed-wing aircraft, airplane", (AIRCRAFT, VEHICLE)),
    "vacuum_cleaner": ("/m/0d31p", "Vacuum cleaner", ()),
    "blender": ("/m/02pjr4", "Blender", ()),
    "electric_shaver": ("/m/02g901", "Electric shaver, electric razor", ()),
    "clock_tick": ("/m/07qjznl", "Tick-tock", ()),
    "door_wood_knock": ("/m/07r4wb8", "Knock", ()),
    "door": ("/m/02dgv", "Door", ()),
    "footsteps": ("/m/07pbtc8", "Walk, footsteps", ()),
    "glass_breaking": ("/m/07rn7sz", "Shatter", ()),
    "keyboard_typing": ("/m/0316dw", "Typing", ()),
    "dishes": ("/m/04brg2", "Dishes, pots, and pans", ()),
    "siren": ("/m/03kmc9", "Siren", (ALARM,)),
    "alarm_bell": ("/m/0c3f7m", "Fire alarm", (ALARM,)),
    "clock_alarm": ("/m/046dlr", "Alarm clock", (ALARM,)),
    "telephone": ("/m/07pp8cl", "Telephone bell ringing", (ALARM,)),
    "church_bells": ("/m/03w41f", "Church bell", ()),
    "speech": ("/m/09x0r", "Speech", ()),
    "laughing": ("/m/01j3sz", "Laughter", ()),
    "screaming": ("/m/03qc9zr", "Screaming", ()),
    "coughing": ("/m/01b_21", "Cough", ()),
    "clapping": ("/m/028ght", "Applause", ()),
    "crowd": ("/m/03qtwd", "Crowd", ()),
    "heartbeat": ("/m/01jg02", "Heart sounds, heartbeat", ()),
    "explosion": ("/m/014zdl", "Explosion", ()),
    "music": ("/m/04rlf", "Music", ()),
}
"""Class -> machine id, display name, and the ids of its ancestors."""

DESED: dict[str, tuple[str, ...]] = {
    "Alarm_bell_ringing": ("alarm_bell", "clock_alarm", "telephone", "doorbell"),
    "Blender": ("blender",),
    "Cat": ("cat",),
    "Dishes": ("dishes", "glass_clink"),
    "Dog": ("dog",),
    "Electric_shaver_toothbrush": ("electric_shaver",),
    "Frying": ("frying",),
    "Running_water": ("running_water",),
    "Speech": ("speech",),
    "Vacuum_cleaner": ("vacuum_cleaner",),
}
"""DESED's classes, in its order, and the bank's classes that are heard as them."""


def shared_parents(classes: Iterable[str]) -> tuple[str, ...]:
    """Ancestors of at least two of `classes`: an ancestor of only one class would duplicate its
    label."""
    uses = Counter(parent for name in classes for parent in AUDIOSET[name][2])
    return tuple(mid for mid in PARENTS if uses[mid] > 1)


def labels(name: str, parents: Iterable[str]) -> tuple[str, ...]:
    """AudioSet ids of a sound: its own and those of its ancestors among `parents`."""
    mid, _, ancestors = AUDIOSET[name]
    return (mid, *(parent for parent in ancestors if parent in parents))
