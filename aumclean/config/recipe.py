"""How a network is trained: everything that is not data."""

from dataclasses import replace
from itertools import count
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Optimizer = Literal["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
Pixels = Literal["standard", "unit", "image"]
MOST_EPOCHS = 100_000
FINE_TUNED = "fine-tuned:"  # before the name of a backbone: a network that starts from its weights
LINEAR = "linear"  # in place of a network: a head on the features of a backbone


def closing_epochs(epochs: int, share: float) -> int:
    """How many epochs come last, with a falling rate and no AUM read of them: a share, 0..1, in whole epochs."""
    return int(share * epochs + 1e-9)


@dataclass(frozen=True, config=ConfigDict(allow_inf_nan=False))
class Recipe:
    """Stochastic gradient descent with Nesterov momentum; at a constant rate where margins are to be read.

    The fields from `optimizer` on are for the diagnostics; no scan changes them.
    """

    # resnet8, resnet9, resnet32, a torchvision classifier, timm:NAME, linear, or fine-tuned:BACKBONE
    arch: str = Field(description="Network.")
    epochs: int = Field(ge=1, le=MOST_EPOCHS, description="Epochs per draw.")
    learning_rate: float = Field(description="The highest learning rate, per step, for the mean loss of a batch.")
    # 64 in the paper, small on purpose: gradient noise delays memorisation
    batch_size: int = Field(ge=1, description="Images per step.")
    weight_decay: float = Field(description="Weight decay.")
    warmup_epochs: int = Field(default=0, description="Epochs over which the rate rises linearly.")
    closing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the epochs that come last, where the rate falls to zero; AUM is read before them.",
    )
    drops: tuple[float, ...] = Field(
        default=(), description="Shares of the training after which the rate falls to a tenth; none in a scan."
    )
    momentum: float = Field(default=0.9, description="Nesterov momentum; goes with sgd alone.")
    # by up to an eighth of the side: the usual 4 pixels at 32
    crop: bool = Field(default=True, description="Whether images are shifted at random.")
    flip: bool = Field(default=True, description="Whether images are mirrored at random; off for digits and text.")
    # autocast; head, loss and margins are float32 in any case
    bf16: bool = Field(default=False, description="Whether it computes in bfloat16.")
    # of the weights kept for `score`: about the last 50 steps; no margin sees them
    average_decay: float = Field(default=0.98, description="Decay per step of the averaged weights.")
    # before the margin, as asappresearch/aum does
    round_logits: bool = Field(default=False, description="Whether logits are rounded to half precision.")
    optimizer: Optimizer = Field(default="sgd", description="Optimiser; a scan's is sgd.")
    rate_decay: float = Field(default=1.0, description="Factor on the learning rate after every epoch; a scan's is 1.")
    # False: every batch normalisation becomes a learned shift per channel
    batch_norm: bool = Field(default=True, description="Whether the network has its batch normalisation.")
    dropout: float = Field(default=0.0, description="Probability of dropout before the last layer.")
    xavier: bool = Field(
        default=False, description="Whether all weights start from Glorot's uniform distribution, biases from zero."
    )
    pixels: Pixels = Field(
        default="standard",
        description="How pixels are scaled: to mean 0 and deviation 1 per channel of the data, divided by 255, or each "
        "image to its own mean 0 and deviation 1.",
    )
    # of Zhang et al. 2018; margins are then of mixed images
    mixup: float = Field(default=0.0, description="Alpha of mix-up, 0 for none.")
    adversarial: float = Field(
        default=0.0, description="Largest change per pixel, in 0..1, of the attack trained against, 0 for none."
    )
    # of a tenth of that each, as Wang et al. 2020 do, without random start
    adversarial_steps: int = Field(default=10, description="Steps of that attack.")

    @property
    def closing_epochs(self) -> int:
        """How many of the epochs come last."""
        return closing_epochs(self.epochs, self.closing)

    def closed_after(self, epochs: int) -> "Recipe":
        """The recipe with so many epochs before the closing ones, where it has more."""
        total = next(total for total in count(epochs) if total + 1 - closing_epochs(total + 1, self.closing) > epochs)
        return replace(self, epochs=min(self.epochs, total))

    def rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from 0 over the whole training."""
        rate = self.learning_rate * self.rate_decay ** (step // steps_per_epoch)
        warmup, closing = self.warmup_epochs * steps_per_epoch, self.closing_epochs * steps_per_epoch
        if warmup:
            rate *= min(1.0, (step + 1) / warmup)
        rate /= 10.0 ** sum(step >= drop * self.epochs * steps_per_epoch for drop in self.drops)
        if closing:
            rate *= min(1.0, (self.epochs * steps_per_epoch - step) / closing)
        return rate
