"""The tracking server that the environment names: which one, and whether it answers."""

from __future__ import annotations

import os
import ssl
import sys
import threading
from urllib.error import HTTPError
from urllib.request import urlopen

from bench.experiment.config import Config
from bench.files import UserError

SERVER = "MLFLOW_TRACKING_URI"
REMEDY = f"start it, unset {SERVER}, or set tracking.unreachable to continue"
ANSWER_S = 7.0
"""Seconds that a server has for an answer; a lost server is reported within 15."""


def server() -> str | None:
    """The tracking server that the environment names."""
    uri = os.environ.get(SERVER, "")
    return uri if uri.startswith(("http://", "https://")) else None


def silence(url: str) -> str | None:
    """One line on a server that does not answer within ANSWER_S; None if it does.

    A refusal is an answer too, and so is a certificate: MLflow's own settings may accept it.
    """
    reason: list[str | None] = [f"nothing came in {ANSWER_S:.0f} s"]

    def ask() -> None:
        try:
            with urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_S):
                reason[0] = None
        except HTTPError as error:
            reason[0] = first_line(error) if error.code >= 500 else None
        except Exception as error:  # whatever a broken server sends, or an invalid address
            cause = getattr(error, "reason", error)
            reason[0] = None if isinstance(cause, ssl.SSLError) else first_line(cause)

    # Slow name resolution and dripping answers have no time limit, but a thread can be abandoned.
    asking = threading.Thread(target=ask, name="tracking server", daemon=True)
    asking.start()
    asking.join(ANSWER_S)
    return reason[0] and f"{url}: the tracking server does not answer ({reason[0]})"


def reachable(settings: Config) -> bool:
    """Whether the store can be written; without a server it always can.

    A server that does not answer is reported in one line.

    Raises:
        UserError: it does not answer, and `tracking.unreachable` says stop.
    """
    url = server()
    lost = url and silence(url)
    if not lost:
        return True
    if settings.tracking.unreachable == "stop":
        raise UserError(f"{lost}; {REMEDY}")
    print(f"{lost}; the run continues without it", file=sys.stderr, flush=True)
    return False


def first_line(error: object) -> str:
    """An error's message in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)
