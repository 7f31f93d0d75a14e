"""The presets: what each sets where nothing else is asked for."""

from typing import Any, Literal

Preset = Literal["fast", "frozen", "paper", "asapp", "thorough"]
Combine = Literal["all", "any", "mean"]
Rule = Literal["percentile", "asapp"]
Threshold = Literal["indicator", "estimate"]

_PAPER = {
    "small_arch": "resnet32",
    "epochs": 150,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "warmup_epochs": 0,
    "closing": 0,  # share of the epochs that come last, with a falling rate
    "percentile": 99.0,
    "first_epoch": 1,
    "combine": "all",
    "rule": "percentile",
    "threshold": "indicator",
    "draws": 2,
}

_FAST = {
    "small_arch": "resnet8-s2d",
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "warmup_epochs": 1,
    "closing": 0.25,
    "percentile": 99.0,
    "first_epoch": 2,
    "combine": "all",
    "rule": "percentile",
    "threshold": "estimate",
    "least_steps": 640,  # in all; few images get more epochs, up to AUTO_EPOCHS
    "least_held_out": 1 / 12,  # of the images, in every draw; where there are many classes more than N / (c + 1)
}

PRESETS: dict[str, dict[str, Any]] = {
    # Pleiss et al., NeurIPS 2020, section 4 and appendix: the published protocol.
    "paper": _PAPER,
    # github.com/asappresearch/aum, examples/paper_replication/runner.py: what the published code does instead.
    "asapp": {**_PAPER, "rule": "asapp"},
    # Detection per unit of compute: margins are read before memorisation begins (docs/benchmarks.md).
    "fast": {
        **_FAST,
        "epochs": 12,
        "draws": 2,
    },
    # No network: heads on the features of a backbone, in seconds once these are there.
    "frozen": {
        **_FAST,
        "small_arch": "linear",
        "epochs": 10,
        "learning_rate": 0.002,
        "weight_decay": 0.01,
        "closing": 0,
        "first_epoch": 1,
        "draws": 2,
    },
    # About four times the compute of `fast`.
    "thorough": {**_FAST, "epochs": 24, "draws": 4},
}
