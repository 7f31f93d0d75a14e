"""Regularisers on and off, on true and on random labels: Zhang et al. 2017, tables 1 and 4 and figure 2.

Training error on random labels says whether a regulariser keeps the network from memorising; test error on true labels
whether it helps; the best epoch beside the last, what early stopping could have saved.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

from aumclean.config.recipe import Recipe
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.random_labels.fitting import Case, Fitted, fit_case, tables_of
from aumclean.diagnostics.random_labels.presets import DECAY, about, cannot, open_cropped, recipes
from aumclean.diagnostics.random_labels.record import Regularized
from aumclean.diagnostics.report import Report
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError, did_you_mean
from aumclean.progress import Track, by_default
from aumclean.training.models import batch_norms, build_model

LABELS = (Case("true"), Case("random"))
QUICK_EPOCHS = 25  # all of them are trained, fourteen times
CONFIDENT = 1.96  # standard errors on either side: 95%


def variants(base: Recipe, weight_decay: float, dropout: float, *, has_batch_norm: bool) -> dict[str, Recipe]:
    """The recipe with each regulariser on alone, augmentation and weight decay together, all, and no batch norm.

    Without batch normalisation the rate is a tenth: at the full one the small Inception does not learn anything.
    """
    decay = replace(base, weight_decay=weight_decay)
    found = {
        "none": base,
        "augmentation": replace(base, crop=True, flip=True),
        "weight decay": decay,
        "augmentation and weight decay": replace(decay, crop=True, flip=True),
        "dropout": replace(base, dropout=dropout),
        "all three": replace(decay, crop=True, flip=True, dropout=dropout),
    }
    if has_batch_norm:
        found["no batch norm"] = replace(base, batch_norm=False, learning_rate=base.learning_rate / 10)
    return found


def regularize(
    options: Options,
    names: Sequence[str] | None = None,
    *,
    weight_decay: float = 5e-4,
    dropout: float = 0.5,
    rate_decay: float = DECAY,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train each variant on true and on random labels to its last epoch; write and return what was found.

    Args:
        options: of every diagnostic.
        names: of the variants; all that the network can have by default.
        weight_decay, dropout: how much of each, where it is on.
        rate_decay: factor on the learning rate after every epoch.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    if not weight_decay > 0:
        raise ConfigError(f"--weight-decay: {weight_decay:g} is not above 0")
    if not 0 < dropout < 1:
        raise ConfigError(f"--dropout: {dropout:g} is not between 0 and 1")
    study = open_cropped(options, "regularize", track=track)
    (base, *more) = recipes(options, study, "regularize", rate_decay)
    if more:
        raise ConfigError("--arch: regularize takes one network")
    if options.preset == "quick" and options.epochs is None:
        base = replace(base, epochs=QUICK_EPOCHS)
    known = variants(base, weight_decay, dropout, has_batch_norm=has_batch_norm(base.arch, study))
    for name in names or ():
        if name not in known:
            raise ConfigError(
                f"--only {name}: {base.arch} has no such variant{did_you_mean(name, known)}; it has: {', '.join(known)}"
            )
    chosen = {name: known[name] for name in (names or known)}
    with asking(
        "random-labels regularize", options, study,
        recipes={name: asdict(recipe) for name, recipe in chosen.items()},
    ) as store:  # fmt: skip
        fitted = [
            [
                fit_case(store, study, case, recipe, seed=seed, name=name, until_fitted=False, track=track)
                for name, recipe in chosen.items()
                for case in LABELS
            ]
            for seed in options.seeds
        ]
        return write(store, _report(options, study, fitted, chosen))


def has_batch_norm(arch: str, study: Study) -> bool:
    """Whether the network has any batch normalisation to take away."""
    model = build_model(arch, len(study.train.class_names), study.train.images.shape[1])
    return bool(batch_norms(model))


def _report(options: Options, study: Study, fitted: list[list[Fitted]], chosen: dict[str, Recipe]) -> Report:
    per_seed = [[_row(each) for each in of_seed] for of_seed in fitted]
    keys, title = ["regularizer", "labels"], "Errors at the end and at the best epoch"
    summary, tables = tables_of("regularize", title, keys, fitted, per_seed)
    base = next(iter(chosen.values()))
    panels = [
        Panel(f"{measure.replace('_', ' ')}, {labels} labels", "epoch", "accuracy",
              [_line(fitted, name, labels, measure) for name in chosen],
              level=study.chance)
        for labels in ("true", "random") for measure in ("train_accuracy", "test_accuracy")
    ]  # fmt: skip
    figure = Figure(
        "regularize",
        "With and without regularisers",
        "Accuracy in evaluation mode after each epoch, on true and on random labels (figure 2 of the paper): a best "
        "epoch before the last one is what early stopping could have kept.",
        panels,
    )
    return Report(
        title=f"Regularisers on true and on random labels of {study.name}",
        lead=f"{base.arch} on {len(study.train):,} images, each regulariser alone, on true and on random labels.",
        said=[*_said(summary), *cannot(options, study, _beyond(study, base))],
        tables=tables,
        figures=[figure],
        settings=about(study, options, base)
        | {
            "weight decay where on": max(recipe.weight_decay for recipe in chosen.values()),
            "dropout where on": max(recipe.dropout for recipe in chosen.values()),
        },
        facts={"chance": study.chance},
    )


def _beyond(study: Study, base: Recipe) -> str:
    chance = CONFIDENT * (2 * 0.25 / max(1, len(study.test))) ** 0.5  # of a difference of two shares near a half
    return (
        f"differences of test error below {chance:.0%}, which {len(study.test):,} test images leave to chance, nor "
        f"whether random labels that {base.epochs} epochs do not fit would be fitted in more"
        + ("" if has_batch_norm(base.arch, study) else f", nor batch normalisation, of which {base.arch} has none")
    )


def _row(each: Fitted) -> Regularized:
    last = each.epochs[-1]
    return each.row(
        Regularized,
        regularizer=each.name,
        labels=str(each.case),
        early_stopping_saves=last.test_error - each.best.test_error,
        online_train_error=1 - last.accuracy,
    )


def _line(fitted: list[list[Fitted]], name: str, labels: str, measure: str) -> Line:
    each_seed = [each for of_seed in fitted for each in of_seed if (each.name, str(each.case)) == (name, labels)]
    return Line.over_seeds(name, [each.epochs for each in each_seed], measure)


def _said(summary: Sequence[Regularized]) -> list[str]:
    true, random = ([row for row in summary if row.labels == labels] for labels in ("true", "random"))
    errors = ", ".join(f"{row.regularizer} {row.train_error:.1%}" for row in random)
    tests = ", ".join(f"{row.regularizer} {row.test_error:.1%}" for row in true)
    saved = max(true, key=lambda row: row.early_stopping_saves)
    return [
        f"Training error on random labels: {errors}. What is near 0% was memorised in spite of the regulariser.",
        f"Test error on true labels: {tests}.",
        f"Early stopping could have saved at most {saved.early_stopping_saves:.1%} of test error "
        f"({saved.regularizer}, epoch {saved.best_epoch:.0f} of {saved.epochs:.0f}), chosen on the test part.",
    ]
