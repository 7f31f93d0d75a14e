"""How plain trainings are done: what can be asked, and what that comes to for these data on this machine."""

from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from aumclean.config.recipe import Recipe
from aumclean.dataset.open import Opened, image_size, open_samples
from aumclean.dataset.samples import Samples
from aumclean.progress import Track
from aumclean.training.device import Device, Precision, largest_image, make_accelerator, takes_bf16
from aumclean.training.models import check_model, choose_arch

SMALL_ARCH = "resnet32"  # the paper's


@dataclass(frozen=True)
class Options:
    """How to train: by default as the paper trains after removal (Pleiss et al. 2020, section 4 and appendix)."""

    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    drops: tuple[float, ...] = (0.5, 0.75)  # epochs 150 and 225 of 300
    warmup: int = 0  # epochs over which the rate rises; other networks than ResNet-32 may need one
    arch: str = "auto"
    image_size: int | None = None
    flip: bool = True
    seed: int = 0
    seeds: int = 1  # trainings per manifest, from `seed` on
    device: Device = "auto"
    precision: Precision = "auto"
    workers: int | None = None
    cache_dir: Path | None = None
    verify: bool = False

    def open(self, samples: Samples, size: int, track: Track, *, one_class: bool = False) -> Opened:
        """Open what is trained or tested on."""
        return open_samples(
            samples,
            size,
            cache_dir=self.cache_dir,
            verify=self.verify,
            workers=self.workers,
            one_class=one_class,
            track=track,
        )


@dataclass(frozen=True)
class Setting:
    """What the options come to for these data on this machine."""

    recipe: Recipe
    image_size: int
    accelerator: Accelerator

    @classmethod
    def of(cls, samples: Samples, options: Options) -> "Setting":
        """Settle what the options leave to the data and the machine.

        Raises:
            ConfigError, DataError, TrainingError: when they do not go together.
        """
        accelerator = make_accelerator(options.device)
        size = options.image_size or image_size(samples, largest_image(accelerator.device))
        arch = choose_arch(options.arch, SMALL_ARCH, size)
        check_model(arch, len(samples.class_names), size)
        recipe = Recipe(
            arch=arch,
            epochs=options.epochs,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            warmup_epochs=options.warmup,
            drops=options.drops,
            flip=options.flip,
            bf16=takes_bf16(options.precision, accelerator.device),
        )
        return cls(recipe, size, accelerator)
