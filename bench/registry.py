"""The code behind the names of the config: architectures and data set loaders.

An entry is "module:attribute". An experiment may name one directly (`architecture: my_model:Net`,
`loader: my_data:load`): a plug-in is such a module in the working folder, or installed. Stages
import them by name, so that the code of one affects the results of no other.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from bench.files import UserError
from bench.strict import nearest

ARCHITECTURES = {
    "htsat": "htsat:HTSAT",
    "ast": "baselines.ast:AST",
    "pann": "baselines.pann:PANN",
    "piczak": "baselines.piczak:PiczakCNN",
    "mobilenet": "baselines.mobilenet:MobileNet",
    "passt": "baselines.passt:PaSST",
    "atst_frame": "baselines.frame_transformer:ATSTFrame",
    "dasheng": "baselines.frame_transformer:Dasheng",
    "linear": "baselines.linear:Linear",
    "knn": "baselines.classic:NearestNeighbours",
    "svm": "baselines.classic:SupportVectors",
    "forest": "baselines.classic:Forest",
}
CLASSIC = {"knn", "svm", "forest"}
"""Those of SOLVED that have no setting to tune."""
SOLVED = {"linear", *CLASSIC}
"""Architectures that a solver fits instead of training steps (`bench.training.solve`): on CPUs, and
with no recipe to tune."""
LOADERS = {
    "audioset": "bench.corpora.audioset:load",
    "audioset_strong": "bench.corpora.audioset_strong:load",
    "desed": "bench.corpora.desed:load",
    "esc50": "bench.corpora.esc50:load",
    "folder": "bench.corpora.folder:load",
    "soundscapes": "bench.corpora.soundscapes:load",
    "speechcommands": "bench.corpora.speechcommands:load",
    "table": "bench.corpora.table:load",
}
SEVERAL_LABELS = ("audioset", "audioset_strong", "desed", "soundscapes")
"""Loaders whose clips have several labels or none, whatever their options; for the others, the
corpus decides."""
OWN_DATA = ("folder", "table")
"""Loaders of users' own data, whose layout the config describes."""


def check(name: str, entries: dict[str, str], where: str) -> None:
    """Refuse a name that is in no entry and names no module that can be found.

    Raises:
        UserError: naming the place and the remedy.
    """
    if name in entries:
        return
    try:
        found = importlib.util.find_spec(module_of(name, entries))
    except (ImportError, ValueError):
        found = None
    if found is None or not name.partition(":")[2].isidentifier():
        raise UserError(
            f"{where}: unknown '{name}'{nearest(name, entries)}; name a plug-in as "
            "module:attribute, with the module in the working folder or installed"
        )


def module_of(name: str, entries: dict[str, str]) -> str:
    """The module behind a checked name."""
    return entries.get(name, name).partition(":")[0]


def find(name: str, entries: dict[str, str]) -> Any:
    """The object behind a name, imported now.

    Raises:
        UserError: its module lacks the attribute.
    """
    module, _, attribute = entries.get(name, name).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise UserError(f"'{name}': {error}; name a plug-in as module:attribute") from error
