"""What a diagnostic trains and tests on: DATA and its test part, decoded, and where to compute."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from accelerate import Accelerator
from pydantic import Field

from aumclean.config.recipe import Recipe
from aumclean.config.scan import Reading
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import Opened, image_size, open_samples
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Samples
from aumclean.diagnostics.store import Store, opened
from aumclean.errors import ConfigError, DataError
from aumclean.progress import Track, untracked
from aumclean.training.device import Device, Precision, describe, make_accelerator, takes_bf16

Preset = Literal["quick", "paper"]

LARGEST_IMAGE = 32  # the papers' size; --image-size asks for another


class Options(Reading):
    """What every diagnostic that trains can be asked; None means: by the preset, or found from data and machine."""

    data: Path
    test: Path | None = None
    test_split: str | None = None
    holdout: float | None = None
    out: Path | None = None
    overwrite: bool = False
    preset: Preset = "quick"
    seeds: tuple[int, ...] = (0,)
    test_limit: int | None = Field(default=None, ge=1)
    image_size: int | None = Field(default=None, ge=8)
    arch: str | None = None
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)  # batch norm needs two images
    learning_rate: float | None = Field(default=None, gt=0)
    device: Device = "auto"
    precision: Precision = "auto"
    cache_dir: Path | None = None
    verify: bool = False

    def read(self, data: Path, split: str | None, *, one_class: bool = False) -> Samples:
        """List the samples of a data source, which is read as DATA is; those to test on may be of one class.

        Raises:
            DataError: when that cannot be done.
        """
        return read_samples(data, one_class=one_class, **{**self.reading(), "split": split, "limit": None})

    def recipe(self, base: Recipe, accelerator: Accelerator) -> Recipe:
        """A preset's recipe with what was asked for in its place."""
        asked = {name: getattr(self, name) for name in ("arch", "epochs", "batch_size", "learning_rate")}
        bf16 = takes_bf16(self.precision, accelerator.device)
        return replace(base, bf16=bf16, **{name: value for name, value in asked.items() if value is not None})

    def open(self, samples: Samples, size: int, track: Track, *, one_class: bool = False) -> Opened:
        """Open what is trained or tested on."""
        return open_samples(
            samples, size, cache_dir=self.cache_dir, verify=self.verify, one_class=one_class, track=track
        )


@dataclass(frozen=True)
class Study:
    """Images and labels to train on and to test on, of the same classes.

    Attributes:
        name: of the data.
        train, test: as arrays.
        train_paths, test_paths: string arrays, a path per sample.
        fingerprint: what the data are, wherever they lie.
        accelerator: where to compute.
        image_size: side in pixels at which the images were opened.
    """

    name: str
    train: Dataset
    test: Dataset
    train_paths: pa.Array
    test_paths: pa.Array
    fingerprint: str
    accelerator: Accelerator
    image_size: int

    @property
    def chance(self) -> float:
        """Accuracy of guessing: 1 / classes."""
        return 1 / len(self.train.class_names)

    def about(self) -> dict[str, Any]:
        """What to show of it."""
        return {
            "training images": len(self.train),
            "test images": len(self.test),
            "classes": len(self.train.class_names),
            "image size": self.image_size,
            "device": describe(self.accelerator.device),
        }


def open_study(options: Options, *, limit: int | None, test_limit: int | None, track: Track = untracked) -> Study:
    """Read and decode DATA and its test part.

    The test part is `options.test` if given, else the split `options.test_split` of DATA, else a share of DATA held
    out at random, else the split `test` of DATA.

    Args:
        options: what was asked.
        limit, test_limit: how many images the preset takes at most, evenly spaced; what was asked goes before.
        track: for a progress display.

    Raises:
        DataError: when there is no test part, it has classes that the training part lacks, or images cannot be read.
        ConfigError: for options that do not go together.
    """
    if sum(value is not None for value in (options.test, options.test_split, options.holdout)) > 1:
        raise ConfigError("--test, --test-split, --holdout: give one of them")
    if options.holdout is not None and not 0 < options.holdout < 1:
        raise ConfigError(f"--holdout: {options.holdout:g} is not between 0 and 1")
    accelerator = make_accelerator(options.device)
    whole = options.read(options.data, options.split)
    if options.holdout is not None:
        train, test = _held_out(whole, options.holdout, options.seeds[0])
    else:
        train, test = whole, _test_part(options, whole)
    train = train if (most := options.limit or limit) is None else train.evenly(most)
    test = test if (most := options.test_limit or test_limit) is None else test.evenly(most)
    size = options.image_size or image_size(train, LARGEST_IMAGE)
    opened, tested = options.open(train, size, track), options.open(test, size, track, one_class=True)
    refusal = f"{options.test or options.data}: the test part has the class '%s', which the training part lacks"
    return Study(
        name=whole.name,
        train=opened.dataset(),
        test=with_classes(tested.dataset(), opened.samples.class_names, refusal),
        train_paths=opened.samples.paths,
        test_paths=tested.samples.paths,
        fingerprint=hashlib.sha256(f"{size} {opened.digest()} {tested.digest()}".encode()).hexdigest(),
        accelerator=accelerator,
        image_size=size,
    )


@contextmanager
def asking(kind: str, options: Options, study: Study, **settings: Any) -> Iterator[Store]:
    """Hold the directory of a diagnostic that asks this of a study; one that was stopped goes on.

    Args:
        kind: the diagnostic.
        options: what was asked.
        study: what it looks at.
        settings: whatever else decides the result.

    Raises:
        RunError: as `opened` does.
    """
    chosen = options.model_dump(exclude={"out", "overwrite", "cache_dir", "verify", "data", "test", "root"})
    device = study.accelerator.device.type
    asked = {"kind": kind, "data": study.fingerprint, "device": device, **chosen, **settings}
    name = f"{study.name}-{kind.replace(' ', '-')}"
    with opened(options.out, name, asked, overwrite=options.overwrite) as store:
        yield store


def _test_part(options: Options, whole: Samples) -> Samples:
    remedy = "name one with --test PATH or --test-split NAME, or hold out a share with --holdout 0.2"
    if options.test is not None:
        return options.read(options.test, None, one_class=True)
    wanted = options.test_split or "test"
    try:
        return options.read(options.data, wanted, one_class=True)
    except DataError as error:  # which `--debug` shows
        if options.test_split is not None:
            raise
        raise DataError(f"{options.data}: has no test part; {remedy}") from error


def _held_out(whole: Samples, share: float, seed: int) -> tuple[Samples, Samples]:
    order = np.random.default_rng([seed, len(whole)]).permutation(len(whole))
    count = round(share * len(whole))
    if not 0 < count < len(whole):
        raise DataError(f"{whole.source}: {share:g} of {len(whole)} images leaves a part without any; change --holdout")
    return whole.take(np.sort(order[count:])), whole.take(np.sort(order[:count]))


def open_images(
    options: Options,
    data: Path,
    class_names: tuple[str, ...],
    size: int,
    *,
    limit: int | None,
    track: Track = untracked,
) -> tuple[Dataset, pa.Array, str]:
    """Images to judge with a network that is there already.

    Returns:
        The data set with labels in the network's own order, a path per sample, and a digest of content and labels.

    Raises:
        DataError: when they have a class that the network lacks, or cannot be read.
    """
    samples = options.read(data, options.test_split or options.split, one_class=True)
    chosen = samples if limit is None else samples.evenly(limit)
    opened = options.open(chosen, size, track, one_class=True)
    refusal = f"{data}: has the class '%s', which the network was not taught"
    return with_classes(opened.dataset(), class_names, refusal), opened.samples.paths, opened.digest()


def with_classes(dataset: Dataset, class_names: tuple[str, ...], refusal: str) -> Dataset:
    """The data set with labels that count by `class_names`.

    Raises:
        DataError: with `refusal`, in which `%s` stands for the class that is not among them.
    """
    if strange := sorted(set(dataset.class_names) - set(class_names)):
        raise DataError(refusal.replace("%s", strange[0]))
    return dataset.with_classes(class_names)
