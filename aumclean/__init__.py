"""Find mislabeled images by the area under the margin, and carry the finding to a cleaned manifest.

    run = aumclean.scan("photos", epochs=15)
    run.suspects[["path", "label", "suggested_label"]]

What is public is listed in `__all__`, and loaded when it is first used: importing the package is as fast as Python.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aumclean.door.api import aum, judge, open_run, scan, score, threshold
    from aumclean.door.recorder import Recorder
    from aumclean.door.run import Run, Scores
    from aumclean.errors import AumcleanError, ConfigError, DataError, OutputError, RunError, TrainingError

__version__ = "0.1.0"
__all__ = [
    "AumcleanError",
    "ConfigError",
    "DataError",
    "OutputError",
    "Recorder",
    "Run",
    "RunError",
    "Scores",
    "TrainingError",
    "aum",
    "judge",
    "open_run",
    "scan",
    "score",
    "threshold",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'aumclean' has no attribute '{name}'")
    places = {"Recorder": "door.recorder", "Run": "door.run", "Scores": "door.run"}
    place = "errors" if name.endswith("Error") else places.get(name, "door.api")
    return getattr(importlib.import_module(f"aumclean.{place}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
