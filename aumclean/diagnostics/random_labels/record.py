"""What the random-label diagnostics found: the rows of their tables."""

from typing import Literal

from pydantic import Field

from aumclean.diagnostics.rows import Averaged, EpochRow, Number, Positive
from aumclean.files.records import Count, Record, Seconds, Share

Kernel = Literal["linear", "gaussian", "convolution"]
Labels = Literal["true", "random"]
Solver = Literal["cholesky", "primal", "cg"]


class Outcome(Averaged):
    """What a training on corrupted data came to, in evaluation mode."""

    steps_to_fit: Positive | None = Field(description="Steps until every training label was right; null: never.")
    test_error: Share = Field(description="Of the true labels of the test part.")
    train_error: Share = Field(description="Of the labels that were trained on.")
    steps_to_loss: Positive | None = Field(description="Steps until the training loss was at the level; null: never.")
    best_test_error: Share = Field(description="Test error in the epoch where it is smallest.")
    best_epoch: Positive = Field(description="That epoch, which is chosen on the test part itself.")
    train_loss: float = Field(description="Training loss.")
    realised_rate: Share = Field(description="Share of the training labels that are wrong.")
    steps: Positive = Field(description="Steps trained.")
    epochs: Positive = Field(description="Epochs trained.")
    seconds: Seconds = Field(description="Seconds of training.")


class OfCorruption(Record):
    """Which training."""

    corruption: str = Field(description="What was done to the data.")


class OfProbability(Record):
    """Which training."""

    arch: str = Field(description="Network.")
    probability: Share = Field(description="Probability that a label is drawn anew.")


class OfRegularizer(Record):
    """Which training."""

    regularizer: str = Field(description="What was switched on.")
    labels: Labels = Field(description="Which labels were trained on.")


class Fit(Outcome, OfCorruption):
    """A corruption: a row of `fit.csv`."""


class Sweep(Outcome, OfProbability):
    """A network at a probability: a row of `sweep.csv`."""

    relative_steps_to_loss: Positive | None = Field(description="Steps to the loss, relative to true labels.")
    relative_steps_to_fit: Positive | None = Field(description="Steps to fit, relative to true labels.")


class Regularized(Outcome, OfRegularizer):
    """A way to regularise, on true or random labels: a row of `regularize.csv`."""

    early_stopping_saves: float = Field(description="Test error minus that of the best epoch.")
    online_train_error: Share = Field(description="Training error of the last pass of training, as in table 4.")


class FitEpoch(EpochRow):
    """Besides, what was measured after the epoch in evaluation mode."""

    train_loss: float = Field(description="Loss on the labels that are trained on, in evaluation mode.")
    train_accuracy: Share = Field(description="Accuracy on these.")
    test_accuracy: Share | None = Field(description="Accuracy on the true labels of the test part; null without one.")

    @property
    def test_error(self) -> float:
        """1 - test_accuracy, where there is a test part."""
        assert self.test_accuracy is not None
        return 1 - self.test_accuracy


class FittedEpoch(FitEpoch):
    """An epoch of a training; which training, further columns say as in the other tables: a row of `epochs.csv`."""

    __pydantic_extra__: dict[str, str | Number] = Field(init=False)

    seed: Count = Field(description="Seed of the training.")
    steps: Count = Field(description="Steps behind it.")


class Constructed(Record):
    """A network that was constructed to fit random labels: a row of `expressivity.csv`."""

    samples: Count = Field(description="Different images.")
    depth: Count = Field(description="Hidden layers.")
    width: Count = Field(description="Units of the widest.")
    weights: Count = Field(description="Weights in all; 2 n + d with one layer.")
    largest_error: Positive = Field(
        description="Largest error of an output that should be the number of a random class; below a half it is right."
    )
    fitted: Share = Field(description="Share of the samples whose output rounds to their class.")
    seconds: Seconds = Field(description="Seconds for construction and check together.")
    seed: Count = Field(description="Seed of the labels and of the directions tried.")
    inputs: Count = Field(description="Numbers per image.")
    duplicates: Count = Field(description="Images left out because an equal one is there: nothing fits two labels.")


class KernelFit(Averaged):
    """A solution of least norm: a row of `kernel.csv`."""

    kernel: Kernel = Field(description="Kernel.")
    labels: Labels = Field(description="Labels that were fitted.")
    ridge: float = Field(description="Added to the kernel's diagonal, in units of its mean; 0 interpolates.")
    train_error: Share = Field(description="Of the labels that were fitted.")
    test_error: Share = Field(description="Of the true labels of the test part.")
    norm: Positive = Field(description="Of the solution in the kernel's space, over all classes.")
    solver: Solver = Field(description="How it was solved.")
    jitter: Positive = Field(description="What the diagonal needed besides for its factorisation, in the same unit.")
    samples: Positive = Field(description="Different training images.")
    residual: Positive = Field(description="Largest difference between an output and its target, which is 0 or 1.")
    iterations: Positive = Field(description="Of conjugate gradients, else 0.")
    seconds: Seconds = Field(description="Seconds of solving, for true and random labels together.")


class Complexity(Record):
    """An estimate of the empirical Rademacher complexity: a row of `rademacher.csv`."""

    arch: str = Field(description="Network.")
    images: Count = Field(description="Images.")
    draws: Count = Field(description="Draws of random signs.")
    complexity: Share = Field(description="Estimate from below, mean over the draws.")
    complexity_low: Share = Field(description="The least.")
    complexity_high: Share = Field(description="The greatest.")
    fitted_draws: Count = Field(description="Draws in which every sign was fitted.")
    steps_to_fit: Positive | None = Field(description="Steps until then, mean over these; null: none was.")


class PlantedDraw(Record):
    """A draw of planted wrong labels: a row of `horizon.csv`."""

    draw: Count = Field(description="Number of the draw.")
    horizon: Positive | None = Field(description="Epochs until half of the planted labels were learned; null: never.")
    reached: bool = Field(description="Whether they were.")
    found_at_horizon: Share | None = Field(description="Share of the planted labels that AUM up to there finds.")
    found_at_best: Share = Field(description="The greatest share, up to any epoch.")
    found_at_end: Share = Field(description="The share up to the last epoch.")
    memorised_at_end: Share = Field(description="Share of the planted labels that were learned in the end.")


class PlantedEpoch(Averaged):
    """An epoch of a training with planted wrong labels: a row of the `epochs.csv` of `horizon`."""

    epoch: Count = Field(description="Epochs behind it.")
    found: Share = Field(
        description="Share of the planted labels among as many of the lowest AUM; lower where the data had errors "
        "before, which count as other labels."
    )
    planted_margin: float = Field(description="Median margin of the planted labels.")
    planted_memorised: Share = Field(description="Share of them with a margin above 0.")
    other_margin: float = Field(description="Median margin of the other labels.")
    other_fitted: Share = Field(description="Share of them with a margin above 0.")
    auroc: Share = Field(description="AUROC of AUM up to here, which suffers less from these.")
    seconds: Seconds = Field(description="Seconds of the epoch.")
