"""What follows from the cost of a full-size model: which network it is, and what training needs."""

from __future__ import annotations

from bench.results.identity import fingerprints, other_network
from bench.results.load import Results
from bench.results.names import network_name

USABLE = 0.9
"""Share of a card's memory that a training may fill; the rest is for buffers and the driver."""
BYTES_PER_PARAMETER = 16
"""Weight, gradient and Adam's two moments in fp32."""


def largest_batch(parameters: float, activation_bytes: float, gib: float) -> int:
    """Clips with which weights, optimizer and saved activations fill USABLE of a card; 0 = none."""
    room = USABLE * gib * 2**30 - BYTES_PER_PARAMETER * parameters
    return max(int(room // activation_bytes), 0)


def projected_hours(clips: float, clips_per_second: float) -> float:
    """Hours of a training that sees this many clips at the measured rate, on that one device."""
    return clips / clips_per_second / 3600


def is_full_size(results: Results, model: str) -> bool:
    """Whether a model of `cost.models` was measured as a published network; by what was built."""
    settings, cost = results.config.cost.models[model], results.costs.get(model)
    values = cost.network if cost else None
    architecture = settings["architecture"]
    return any(not other_network(architecture, values, name) for name in fingerprints().networks)


def cost_name(results: Results, model: str) -> str:
    """The name of a key of `cost.models`, with the size that was measured."""
    settings, known = results.config.cost.models[model], results.config.models.get(model)
    if known is not None and known.title:
        return known.title
    return network_name(model, settings["architecture"], settings)
