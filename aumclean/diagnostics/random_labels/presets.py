"""What the presets of the random-label experiments come to: `quick` for minutes, `paper` as Zhang et al. 2017 trained.

Of the paper: 28-pixel centre crops, each image scaled by its own moments, stochastic gradient descent with momentum 0.9
at a rate of 0.1 (Inception) or 0.01 (the others) that falls by a factor of 0.95 per epoch, no augmentation, no weight
decay, no dropout. Not in the paper: batches of 128, Nesterov's form of the momentum, the initialisation.
"""

from dataclasses import asdict, replace
from typing import Any, Literal

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.study import Options, Preset, Study, open_study
from aumclean.errors import ConfigError
from aumclean.progress import Track, untracked

Command = Literal["fit", "sweep", "regularize", "rademacher"]

CROP = 28  # pixels of the 32 that the paper's images have
RATES = {"small_inception": 0.1, "resnet8-s2d": 0.2}  # at a tenth of it the latter fits noise before photographs
OTHER_RATE = 0.01
DECAY = 0.95
PAPER_BATCH, PAPER_EPOCHS = 128, 100
PAPER_ARCHS: dict[Command, tuple[str, ...]] = {
    **dict.fromkeys(("fit", "regularize", "rademacher"), ("small_inception",)),
    "sweep": ("small_inception", "small_alexnet", "mlp_1x512"),
}

QUICK_BATCHES = {"resnet8-s2d": 64}
QUICK_OTHER_BATCH = 32
QUICK_EPOCHS = 40
QUICK_ARCHS: dict[Command, tuple[str, ...]] = {
    "fit": ("resnet8-s2d",),  # the scan's own: the order of the corruptions needs convolutions
    "sweep": ("mlp_1x512", "mlp_3x512"),
    "regularize": ("resnet8-s2d",),  # which has batch normalisation to take away
    "rademacher": ("mlp_1x512",),
}
QUICK_IMAGES: dict[Command, int] = {"fit": 5000, "sweep": 1000, "regularize": 1000, "rademacher": 500}
QUICK_TEST = 1000


def open_cropped(options: Options, command: Command, *, track: Track = untracked) -> Study:
    """Read DATA and its test part; where images are as large as the paper's, cut out the middle.

    Raises:
        DataError, ConfigError: as `open_study` does.
    """
    quick = options.preset == "quick"
    most = QUICK_IMAGES[command] if quick else None
    study = open_study(options, limit=most, test_limit=QUICK_TEST if quick else None, track=track)
    side = CROP if options.image_size is None and study.train.images.shape[1] > CROP else study.train.images.shape[1]
    return replace(study, train=centre(study.train, side), test=centre(study.test, side))


def about(study: Study, options: Options, recipe: Recipe, **more: Any) -> dict[str, Any]:
    """What the page shows of a command's data and recipe."""
    cropped = {"cropped to": study.train.images.shape[1]}
    return {**study.about(), **cropped, **more, "seeds": list(options.seeds), **asdict(recipe)}


def without_test(options: Options) -> Options:
    """The options of a command that does not test: where no test part is named, the training part stands in for it."""
    named = any(value is not None for value in (options.test, options.test_split, options.holdout))
    return options if named else options.model_copy(update={"test": options.data, "test_limit": options.limit})


def centre(dataset: Dataset, side: int) -> Dataset:
    """The middle of every image, `side` pixels high and wide."""
    start = (dataset.images.shape[1] - side) // 2
    return dataset.with_images(dataset.images[:, start : start + side, start : start + side])


def base_recipe(preset: Preset, arch: str) -> Recipe:
    """A preset's recipe for a network, before what was asked takes its place."""
    quick = preset == "quick"
    return Recipe(
        arch=arch,
        epochs=QUICK_EPOCHS if quick else PAPER_EPOCHS,
        learning_rate=RATES.get(arch, OTHER_RATE),
        batch_size=QUICK_BATCHES.get(arch, QUICK_OTHER_BATCH) if quick else PAPER_BATCH,
        weight_decay=0.0,
        crop=False,
        flip=False,
        rate_decay=DECAY,
        pixels="image",
    )


def recipes(options: Options, study: Study, command: Command, rate_decay: float = DECAY) -> list[Recipe]:
    """One recipe per network: those that `--arch` names, separated by commas, or the preset's for the command.

    Args:
        options, study: of the command.
        command: whose networks are taken where none is named.
        rate_decay: factor on the learning rate after every epoch.

    Raises:
        ConfigError: for a factor that is not above 0 and at most 1.
    """
    if not 0 < rate_decay <= 1:
        raise ConfigError(f"--rate-decay: {rate_decay:g} is not above 0 and at most 1")
    default = QUICK_ARCHS if options.preset == "quick" else PAPER_ARCHS
    named = dict.fromkeys(map(str.strip, options.arch.split(","))) if options.arch else default[command]
    asked = options.model_copy(update={"arch": None})
    bases = (replace(base_recipe(options.preset, arch), rate_decay=rate_decay) for arch in named)
    return [asked.recipe(base, study.accelerator) for base in bases]


def cannot(options: Options, study: Study, what: str) -> list[str]:
    """What the preset `quick` cannot show of a command's question, as a sentence; nothing for `paper`."""
    if options.preset == "paper":
        return []
    return [f"On {len(study.train):,} images the preset quick cannot show {what}."]
