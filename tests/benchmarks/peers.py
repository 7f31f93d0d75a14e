"""Other ways to find wrong labels, each on the images, the network and at least the compute of a scan.

Everything but the method itself is the scan's: network, batch size, rate, warm-up, weight decay, augmentation, number
format. What a method needs beyond that (folds, a decayed rate, indicator samples) is as its own documentation has it.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import nn
from torch.nn import functional as F

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import draw_indicators, with_indicators
from aumclean.features.neighbours import rows_of
from aumclean.margins import margins
from aumclean.scanning.features import Looked
from aumclean.training import augment
from aumclean.training.loop import normalisation
from aumclean.training.models import model_of
from aumclean.training.optimizer import make_optimizer
from aumclean.training.predict import predictions
from aumclean.verdict.neighbours import vote

CPU = torch.device("cpu")
FOLDS = 4
PERCENTILE = 99  # of the indicator samples, in the published protocol


@dataclass(frozen=True)
class Found:
    """What a method says of every sample, and what that took."""

    suspicion: np.ndarray  # float [n], larger is more suspect
    flagged: np.ndarray  # bool [n], by the method's own rule
    passes: float = 0.0  # forward and backward, over the whole data set


def oracle(wrong: np.ndarray) -> Found:
    """The truth itself: every measure must be the best there is."""
    return Found(wrong.astype(float), wrong)


def flag_nothing(wrong: np.ndarray) -> Found:
    """No opinion on any sample: no measure may reward it."""
    return Found(np.zeros(len(wrong)), np.zeros(len(wrong), bool))


def network(dataset: Dataset, recipe: Recipe, seed: int) -> nn.Module:
    """A fresh network for the data set."""
    model = model_of(recipe, len(dataset.class_names), dataset.images.shape[1], seed=seed)
    return model.to(memory_format=torch.channels_last)


def plain_training(
    model: nn.Module, dataset: Dataset, recipe: Recipe, seed: int
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """The usual loop, nothing recorded: the number of the epoch, the batch's samples and its logits, step by step."""
    optimizer = make_optimizer(recipe, model)
    images, labels = torch.from_numpy(dataset.images), torch.from_numpy(dataset.labels)
    mean, std = (torch.tensor(values) for values in normalisation(dataset))
    padding = images.shape[1] // 8 if recipe.crop else 0
    steps = -(-len(dataset) // recipe.batch_size)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for epoch in range(recipe.epochs):
        batches = torch.randperm(len(dataset), generator=generator).tensor_split(steps)
        shift, mirrored = augment.draw(len(dataset), padding, generator)
        for step, index in enumerate(batches, start=epoch * steps):
            pixels = augment.crop(images[index], shift[index], padding) if recipe.crop else images[index]
            if recipe.flip:
                pixels = augment.mirror(pixels, mirrored[index])
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step, steps)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                logits = model(augment.normalise(pixels, mean, std)).float()
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[index]).backward()
            optimizer.step()
            yield epoch, index, logits.detach()


def from_plain_trainings(dataset: Dataset, recipe: Recipe, draws: int, first_epoch: int, seed: int) -> dict[str, Found]:
    """Three statistics of as many ordinary trainings as a scan has draws, by the recipe of the scan.

    `last margin`: of the last epoch alone, cut at zero. `mean loss`: over the epochs, cut where a sample is as likely
    of the upper of two normal distributions. `wrong count`: in how many epochs another class won, cut at half of them.
    """
    labels = torch.from_numpy(dataset.labels)
    shape = (draws, recipe.epochs, len(dataset))
    margin, loss = torch.empty(shape), torch.empty(shape)
    for draw in range(draws):
        model = network(dataset, recipe, 2 * seed + draw)
        for epoch, index, logits in plain_training(model, dataset, recipe, 2 * seed + draw):
            margin[draw, epoch, index] = margins(logits, labels[index])[0]
            loss[draw, epoch, index] = F.cross_entropy(logits, labels[index], reduction="none")
    last = margin[:, -1].mean(0).numpy()
    mean_loss = loss[:, first_epoch:].mean((0, 1)).numpy()
    wrong_count = (margin[:, first_epoch:] < 0).float().mean((0, 1)).numpy()
    passes = float(draws * recipe.epochs)
    return {
        "last margin": Found(-last, last < 0, passes),
        "mean loss": Found(mean_loss, upper_of_two(mean_loss), passes),
        "wrong count": Found(wrong_count, wrong_count > 0.5, passes),
    }


def upper_of_two(values: np.ndarray) -> np.ndarray:
    """Which values are rather of the upper of two normal distributions (Arazo et al. 2019, section 3.1): bool [n]."""
    column = values[:, None]
    mixture = GaussianMixture(2, random_state=0).fit(column)
    return mixture.predict(column) == mixture.means_.ravel().argmax()


def aum_package(dataset: Dataset, recipe: Recipe, seed: int) -> dict[str, Found]:
    """PyPI `aum` in the loop that its authors publish: two runs with an indicator class each, at a constant rate.

    The first epoch is not recorded; flagged is what lies below the indicator samples' 99th percentile in every run in
    which it was not one of them. Ranked by the mean AUM of these runs.
    """
    from aum import AUMCalculator

    recipe, n, runs = replace(recipe, closing=0.0), len(dataset), 2
    indicators = draw_indicators(n, len(dataset.class_names), runs, seed=seed, rule="asapp")
    area, vote = np.full((runs, n), np.nan), np.ones((runs, n), bool)
    for run, chosen in enumerate(indicators):
        planted = with_indicators(dataset, chosen)
        labels = torch.from_numpy(planted.labels)
        with tempfile.TemporaryDirectory() as folder:
            calculator = AUMCalculator(folder, compressed=True)
            model = network(planted, recipe, 2 * seed + run)
            for epoch, index, logits in plain_training(model, planted, recipe, 2 * seed + run):
                if epoch > 0:
                    calculator.update(logits, labels[index], index.tolist())
            calculator.finalize()
            stored = np.loadtxt(Path(folder) / "aum_values.csv", delimiter=",", skiprows=1)
        values = np.empty(n)
        values[stored[:, 0].astype(int)] = stored[:, 1]
        vote[run] = values <= np.percentile(values[chosen], PERCENTILE)
        vote[run, chosen] = True
        area[run] = values
        area[run, chosen] = np.nan
    return {"aum package": Found(-np.nanmean(area, 0), vote.all(0), float(runs * recipe.epochs))}


def cleanlab(dataset: Dataset, recipe: Recipe, draws: int, seed: int) -> dict[str, Found]:
    """`cleanlab` on out-of-sample probabilities of four folds, more epochs than the scan has in all its draws.

    The rate falls to zero, as one trains a classifier; probabilities are the mean over each image and its mirror image.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    epochs = draws * recipe.epochs // (FOLDS - 1) + 1
    recipe = replace(recipe, epochs=epochs, closing=1 - recipe.warmup_epochs / epochs)
    logits = np.empty((len(dataset), len(dataset.class_names)), np.float32)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(dataset.labels, dataset.labels)
    for fold, (seen, held) in enumerate(folds):
        part = dataset.take(seen)
        model = network(part, recipe, FOLDS * seed + fold)
        for _ in plain_training(model, part, recipe, FOLDS * seed + fold):
            pass
        scale = normalisation(part)
        logits[held] = np.concatenate(
            list(predictions(model, dataset.images[held], *scale, mirror=recipe.flip, device=CPU, bf16=recipe.bf16))
        )
    probabilities = softmax(logits, axis=1)
    issues = find_label_issues(dataset.labels, probabilities, n_jobs=1)
    return {
        f"cleanlab {name}": Found(
            -get_label_quality_scores(dataset.labels, probabilities, method=name), issues, float((FOLDS - 1) * epochs)
        )
        for name in ("self_confidence", "normalized_margin")
    }


def on_features(looked: Looked, seed: int) -> dict[str, Found]:
    """What others make of the features that a scan has: no network is trained.

    `cleanlab on features`: self-confidence and the filter, of cross-validated logistic regression with three strengths
    of regularisation. `20 nearest`: the rule of SimiFeat (Zhu et al. 2022), the share of the nearest with the label,
    flagged where another class has more of them.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels, n_classes, rows = looked.dataset.labels, len(looked.dataset.class_names), rows_of(looked.dataset)
    voted = vote(looked.near, labels, n_classes)
    found = {"20 nearest": Found(-voted[np.arange(len(labels)), labels], voted.argmax(1) != labels)}
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    for strength in (1.0, 0.01, 0.001):
        model = LogisticRegression(C=strength, max_iter=300)
        said = cross_val_predict(model, rows, labels, cv=folds, method="predict_proba")
        found[f"cleanlab on features, C={strength:g}"] = Found(
            -get_label_quality_scores(labels, said), find_label_issues(labels, said, n_jobs=1)
        )
    return found
