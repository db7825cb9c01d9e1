"""Parameters of synthetic sources."""

from __future__ import annotations

from synth.synth import Generator, log_between


class Draw:
    """Parameters of a synthetic source: fixed by the source, moved a little by each take.

    Each call draws from both streams, so calls must not depend on take-level values.
    """

    def __init__(self, source: Generator, take: Generator, variation: float = 1.0) -> None:
        self._source, self.take, self._variation = source, take, variation

    def _share(self, wobble: float) -> float:
        centre = self._source.random()
        moved = centre + wobble * self._variation * self.take.uniform(-1.0, 1.0)
        return min(1.0, max(0.0, moved))

    def log(self, low: float, high: float, wobble: float = 0.2) -> float:
        """Log-uniform in [low, high]; a take moves it by up to `wobble` of that range."""
        return float(log_between(low, high, self._share(wobble)))

    def flat(self, low: float, high: float, wobble: float = 0.2) -> float:
        """Uniform in [low, high]; a take moves it by up to `wobble` of that range."""
        return low + (high - low) * self._share(wobble)

    def kind(self, *options: str) -> str:
        """One of `options`, the same for all takes of the source."""
        return options[int(self._source.integers(len(options)))]

    def modes(
        self, number: int, hertz: tuple[float, float], seconds: tuple[float, float]
    ) -> list[tuple[float, float, float]]:
        """Resonances of the source for `ring`: (Hz, decay s, amplitude)."""
        return [
            (
                self.log(*hertz, wobble=0.01),
                self.log(*seconds, wobble=0.1),
                self.log(0.2, 1.0, wobble=0.3),
            )
            for _ in range(number)
        ]
