"""How a network is trained: everything that is not data."""

from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from aumclean.margins.closing import closing_epochs

Optimizer = Literal["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
Pixels = Literal["standard", "unit", "image"]


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum; at a constant rate where margins are to be read.

    The fields from `optimizer` on are for the diagnostics; no scan changes them.
    """

    arch: str  # resnet8, resnet9, resnet32, a torchvision classifier, or timm:NAME
    epochs: int
    learning_rate: float  # per step, for the mean loss of a batch
    batch_size: int  # 64 in the paper, small on purpose: gradient noise delays memorisation
    weight_decay: float
    warmup_epochs: int = 0  # the rate rises linearly over these
    closing: float = 0.0  # share of the epochs that come last, where it falls linearly to zero; AUM is read before them
    drops: tuple[float, ...] = ()  # shares of the training after which the rate falls to a tenth; none in a scan
    momentum: float = 0.9
    crop: bool = True  # random shift by up to an eighth of the side: the usual 4 pixels at 32
    flip: bool = True  # mirror half of the images; off for digits and text
    bf16: bool = False  # autocast; head, loss and margins are float32 in any case
    average_decay: float = 0.98  # of the weights kept for `score`: about the last 50 steps; no margin sees them
    round_logits: bool = False  # through float16 before the margin, as asappresearch/aum does
    optimizer: Optimizer = "sgd"  # momentum goes with sgd alone
    rate_decay: float = 1.0  # factor on the rate after every epoch
    batch_norm: bool = True  # False: every batch normalisation becomes a learned shift per channel
    dropout: float = 0.0  # probability, before the last layer
    xavier: bool = False  # Glorot's uniform initialisation of all weights, biases zero
    # standard: to mean 0 and deviation 1 per channel of the data; unit: divided by 255; image: each by its own moments
    pixels: Pixels = "standard"
    mixup: float = 0.0  # alpha of Zhang et al. 2018, 0 for none; margins are then of mixed images
    adversarial: float = 0.0  # largest change per pixel, in 0..1, of the attack that is trained against; 0 for none
    adversarial_steps: int = 10  # of a tenth of that each, as Wang et al. 2020 do, without random start

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
