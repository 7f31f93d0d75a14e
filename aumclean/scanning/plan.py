"""The plan of a scan: what its options come to for these data on this machine, and what that will cost."""

from dataclasses import asdict, dataclass, replace
from threading import Event
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from aumclean import machine
from aumclean.config.recipe import FINE_TUNED, LINEAR, Recipe
from aumclean.config.scan import AUTO, FROZEN, ScanConfig
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import image_size
from aumclean.dataset.samples import Samples
from aumclean.errors import ConfigError
from aumclean.features.own import anywhere
from aumclean.features.pixels import PIXELS, needs_backbone
from aumclean.run.record import Settings
from aumclean.training.backbone import is_available
from aumclean.training.device import describe, largest_image, make_accelerator, takes_bf16
from aumclean.training.loop import train
from aumclean.training.models import check_model, choose_arch
from aumclean.training.side_by_side import side_by_side
from aumclean.verdict.judge import require_targets
from aumclean.verdict.warnings import label_warnings

LARGEST_FINE_TUNED = 224  # pixels a side, unless asked otherwise: what most backbones learned from
SMALLEST_LOOKED_AT = 32  # pixels: backbones learned from photographs, and smaller images are not like these
FEWEST_OF_CLASS = 6  # images of the typical class, for pixels to speak unasked: of 3, they take a tenth for wrong
HEAD_DROPOUT = 0.5  # of features, while a head is trained


@dataclass(frozen=True)
class Plan:
    """What a configuration comes to for these data on this machine.

    `features` names a backbone, or a file; heads on these are trained where the recipe's network is `linear`.
    With `until_memorised`, each draw is closed when its indicator samples begin to be memorised, after the recipe's
    epochs at the latest. `own_draws` are those that this process trains, `jobs` at a time; `together` says whether all
    processes share the samples of every draw, else each has draws of its own. `least_held_out` is the share of the
    samples that are indicator samples of a draw at least. `heads` says how heads on the features are trained beside a
    network.
    """

    draws: int
    recipe: Recipe
    features: str | None
    settings: Settings
    image_size: int
    accelerator: Accelerator
    until_memorised: bool
    least_held_out: float
    together: bool
    own_draws: tuple[int, ...]
    jobs: int
    heads: "Plan | None"

    @property
    def readers(self) -> int:
        """Trainings that read the images at the same time, each in its own order, if all are on one machine."""
        return 1 if self.together else self.jobs * int(self.accelerator.num_processes)

    @property
    def writes(self) -> bool:
        """Whether this process writes what belongs to its draws as a whole, such as their state and network."""
        return not self.together or bool(self.accelerator.is_main_process)


def settle(samples: Samples, config: ScanConfig) -> Plan:
    """Settle everything that the configuration leaves to the data and the machine.

    Raises:
        ConfigError, DataError, TrainingError: when they do not go together.
    """
    accelerator = make_accelerator(config.device)
    largest = LARGEST_FINE_TUNED if config.pretrained else largest_image(accelerator.device)
    size = config.image_size or image_size(samples, largest)
    sized, features = config.model_copy(update={"image_size": size}), _features(config, size, samples)
    if config.preset == FROZEN:
        arch, draws_chance = LINEAR, True  # dropout draws numbers
    else:
        arch = choose_arch(config.arch, config.by_preset("small_arch"), size)
        arch = FINE_TUNED + config.arch if config.pretrained else arch
        draws_chance = check_model(arch, len(samples.class_names) + 1, size)
    epochs = config.epochs_for(len(samples))
    rule = config.by_preset("rule")
    draws = config.by_preset("draws")
    if draws > len(samples.class_names) + (0 if rule == "asapp" else 1):
        raise ConfigError(
            f"--draws {draws}: with {len(samples.class_names)} classes at most "
            f"{len(samples.class_names) + (0 if rule == 'asapp' else 1)} draws of indicator samples are disjoint"
        )
    recipe = _recipe(config, arch, epochs, accelerator.device, features)
    settings = Settings(
        percentile=config.by_preset("percentile"),
        combine=config.by_preset("combine"),
        first_epoch=min(config.by_preset("first_epoch"), config.recorded_epochs - 1),
        rule=rule,
        threshold=config.judged_by,
        target_precision=config.target_precision,
        target_recall=config.target_recall,
    )
    require_targets(settings.threshold, settings.target_precision, settings.target_recall)
    together = _together(len(samples) * size * size * 3, config, accelerator)
    own_draws = _own_draws(config, accelerator, together)
    return Plan(
        draws=draws,
        recipe=recipe,
        features=features,
        settings=settings,
        image_size=size,
        accelerator=accelerator,
        until_memorised=config.epochs == AUTO,
        least_held_out=config.least_held_out,
        together=together,
        own_draws=own_draws,
        jobs=1 if together or draws_chance else _jobs(config, accelerator.device, len(own_draws)),
        heads=None if features is None or config.preset == FROZEN else settle(samples, of_heads(sized, features)),
    )


def of_heads(config: ScanConfig, features: str | None) -> ScanConfig:
    """The options by which heads on features are trained beside a network: those of a scan without one."""
    of_network = dict.fromkeys(("epochs", "learning_rate", "weight_decay", "percentile", "combine", "first_epoch"))
    own = {"preset": FROZEN, "arch": AUTO, "pretrained": False, "draws": config.by_preset("draws")}
    return config.model_copy(update={**of_network, **own, "features": features})


def _recipe(config: ScanConfig, arch: str, epochs: int, device: torch.device, features: str | None) -> Recipe:
    recipe = Recipe(
        arch=arch,
        epochs=epochs,
        learning_rate=config.by_preset("learning_rate"),
        batch_size=config.batch_size,
        weight_decay=config.by_preset("weight_decay"),
        warmup_epochs=config.by_preset("warmup_epochs"),
        closing=config.by_preset("closing"),
        flip=config.flip,
        bf16=takes_bf16(config.precision, device),
        round_logits=config.by_preset("rule") == "asapp",
    )
    if config.preset != FROZEN:
        return recipe
    flip = config.flip and needs_backbone(str(features))  # others are of the images alone
    return replace(recipe, crop=False, flip=flip, bf16=False, dropout=HEAD_DROPOUT)


def _features(config: ScanConfig, size: int, samples: Samples) -> str | None:
    """Where features come from: as asked, else from `auto` where that is there, and from pixels where images are icons.

    Raises:
        ConfigError: when a scan without a network has none.
    """
    asked, published = config.features, config.judged_by != "estimate"
    small = size < SMALLEST_LOOKED_AT and config.against is None
    if asked is not None and not needs_backbone(asked):
        asked = anywhere(asked)
        if config.against is not None:
            raise ConfigError(f"--against: needs a backbone to compare images by, which {asked} is not")
    if config.preset == FROZEN:
        if asked == "none":
            raise ConfigError("--features none: leaves --preset frozen nothing to train on; name a backbone or a file")
        if config.arch != AUTO or config.pretrained:
            raise ConfigError("--preset frozen: trains no network; leave out --arch and --pretrained")
        return asked or (PIXELS if small else AUTO)
    if asked == "none" or (published and asked is None):
        if config.against is not None:
            raise ConfigError("--against: needs --features, by which images are compared")
        return None
    if published:
        raise ConfigError("--features: do not count where AUM decides as published; leave it out")
    if asked is None and small:
        typical = np.median(np.bincount(samples.labels))
        return PIXELS if typical >= FEWEST_OF_CLASS else None
    return asked or (AUTO if is_available() or config.against is not None else None)


def _together(image_bytes: int, config: ScanConfig, accelerator: Accelerator) -> bool:
    """Whether the processes that a launcher started share each draw's samples, or each have draws of their own.

    Draws of their own need no communication, so that is the choice when there is one for each and when the images,
    of which every process then reads all, fit half of the memory.
    """
    processes = accelerator.num_processes
    draws = config.by_preset("draws") if config.only_draw is None else 1
    enough = config.only_draw is None and draws >= processes
    if config.parallel == "draws" and not enough:
        raise ConfigError(
            f"--parallel draws: {processes} processes have {draws} draws "
            "to train; start no more processes than draws, or choose --parallel data"
        )
    if processes == 1 or config.parallel == "draws":
        return False
    return config.parallel == "data" or not (enough and 2 * image_bytes <= machine.memory())


def _own_draws(config: ScanConfig, accelerator: Accelerator, together: bool) -> tuple[int, ...]:
    draws = config.by_preset("draws")
    if config.only_draw is not None:
        return (config.only_draw,)
    if together:
        return tuple(range(draws))
    return tuple(range(accelerator.process_index, draws, accelerator.num_processes))


def _jobs(config: ScanConfig, device: torch.device, draws: int) -> int:
    """How many draws are trained side by side in this process: as asked, else as many as there are threads."""
    most = {"cpu": torch.get_num_threads(), "cuda": draws}.get(device.type, 1)
    return max(1, min(config.jobs or most, draws))


def estimate(samples: Samples, plan: Plan) -> dict[str, Any]:
    """The plan in figures: what would be done, how long it takes by a few timed steps, and on how much disk."""
    recipe, size = plan.recipe, plan.image_size
    trial_size = min(len(samples), 8 * recipe.batch_size)
    noise = np.random.default_rng(0).integers(0, 256, (trial_size, size, size, 3), dtype=np.uint8)
    trial = Dataset(noise, np.arange(trial_size) % len(samples.class_names), (*samples.class_names, "indicator"))
    twice = replace(recipe, epochs=2)  # the first pass warms up
    seconds: list[float] = []

    def timed(stop: Event) -> None:
        *_, last = train(trial, twice, seed=0, accelerator=plan.accelerator, together=plan.together)
        seconds.append(last.seconds)

    side_by_side([timed] * plan.jobs, plan.jobs, plan.accelerator.device)
    rate = trial_size * plan.jobs / max(seconds)
    passes = recipe.epochs * plan.draws
    published = plan.settings.threshold == "indicator"
    found = label_warnings(samples.labels, samples.class_names, published=published)
    return {
        "images": len(samples),
        "classes": len(samples.class_names),
        "image_size": size,
        "device": describe(plan.accelerator.device),
        "draws": plan.draws,
        "jobs": plan.jobs,
        "epochs": recipe.epochs,
        "recipe": asdict(recipe),
        "images_per_second": round(rate, 1),
        "training_seconds": round(len(samples) * recipe.epochs * len(plan.own_draws) / rate, 1),
        "cache_bytes": len(samples) * size * size * 3,
        "margin_log_bytes": len(samples) * passes * 6,
        "warnings": [warning.message for warning in found],
    }
