"""`aumclean random-labels`: how fast this network would memorise noise, and when AUM must have been read."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import typer

from aumclean.cli.diagnostic import Study, answer, group, numbers
from aumclean.cli.options import option
from aumclean.errors import ConfigError, did_you_mean

ABOUT = "How fast this network would memorise noise, and when AUM must have been read (Zhang et al. 2017)."

Name = TypeVar("Name", bound=str)


def one_of(given: Sequence[str] | None, known: Sequence[Name], option_name: str) -> tuple[Name, ...]:
    """Names among those known, each once, in the order given.

    Raises:
        ConfigError: for another.
    """
    place = {str(name): name for name in known}
    for name in given or ():
        if name not in place:
            raise ConfigError(f"{option_name} {name}: is none of {', '.join(known)}{did_you_mean(name, known)}")
    return tuple(place[name] for name in dict.fromkeys(given or ()))


Level = Annotated[float, typer.Option("--loss", help="Training loss that counts as reached.")]
RateDecay = Annotated[float, typer.Option(help="Factor that multiplies the learning rate after every epoch.")]


def fit(
    study: Study,
    corruption: Annotated[
        list[str] | None,
        option(
            "true, partial, random, shuffled-pixels, random-pixels or gaussian; repeatable. [default: all but partial]"
        ),
    ] = None,
    probability: Annotated[float, typer.Option(help="Probability that a label is redrawn, for partial.")] = 0.5,
    level: Level = 0.1,
    rate_decay: RateDecay = 0.95,
) -> None:
    """Train on true labels and on noise in their place, all else equal, until everything is fitted.

    Steps until fitted and test error per corruption: figure 1a. quick: resnet8-s2d; paper: small_inception.

    Example: `aumclean random-labels fit photos/ --holdout 0.2 --corruption true --corruption random`
    """
    from aumclean.diagnostics.random_labels.corruptions import CORRUPTIONS
    from aumclean.diagnostics.random_labels.fit import FIGURE_1A
    from aumclean.diagnostics.random_labels.fit import fit as run

    chosen = one_of(corruption, CORRUPTIONS, "--corruption") or FIGURE_1A
    answer(run, study, chosen, probability=probability, level=level, rate_decay=rate_decay)


def sweep(
    study: Study,
    probabilities: Annotated[
        str | None,
        option("Probabilities of a random label, such as 0,0.5,1. [default: 5 or, for paper, 11 from 0 to 1]"),
    ] = None,
    level: Level = 0.1,
    rate_decay: RateDecay = 0.95,
) -> None:
    """Measure time to fit and test error against the share of random labels, for several networks.

    Figures 1b and 1c. --arch may name several networks, separated by commas.

    Example: `aumclean random-labels sweep photos/ --arch mlp_1x512,resnet9 --probabilities 0,0.5,1`
    """
    from aumclean.diagnostics.random_labels.sweep import sweep as run

    shares = None if probabilities is None else numbers(probabilities, "--probabilities", float)
    answer(run, study, shares, level=level, rate_decay=rate_decay)


def regularize(
    study: Study,
    only: Annotated[
        list[str] | None,
        option(
            "none, augmentation, weight decay, augmentation and weight decay, dropout, all three, no batch norm; "
            "repeatable. [default: all]"
        ),
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty, where it is on.")] = 5e-4,
    dropout: Annotated[float, typer.Option(help="Probability before the last layer, where it is on.")] = 0.5,
    rate_decay: RateDecay = 0.95,
) -> None:
    """Train with regularisers on and off, on true and on random labels.

    Reports training and test error of the best and the last epoch: tables 1 and 4, figure 2.

    Example: `aumclean random-labels regularize photos/ --holdout 0.2 --arch resnet9 --limit 2000`
    """
    from aumclean.diagnostics.random_labels.regularize import regularize as run

    answer(run, study, only, weight_decay=weight_decay, dropout=dropout, rate_decay=rate_decay)


def expressivity(
    study: Study,
    depths: Annotated[str, typer.Option(help="Numbers of hidden layers; one network is built for each.")] = "1,2,8",
) -> None:
    """Construct a ReLU network of 2n + d weights that gives n images any labels, without training: theorem 1.

    Deeper networks are narrower in proportion (corollary 1). No test set is needed.

    Example: `aumclean random-labels expressivity photos/`
    """
    from aumclean.diagnostics.random_labels.expressivity import expressivity as run

    answer(run, study, numbers(depths, "--depths"))


def kernel(
    study: Study,
    kernels: Annotated[
        list[str] | None, option("linear, gaussian or convolution; repeatable. [default: all]", "--kernel")
    ] = None,
    gamma: Annotated[
        float | None, option("Gamma of the Gaussian kernel, for pixels in 0..1. [default: 2 / median squared distance]")
    ] = None,
    filters: Annotated[int | None, typer.Option(help="Number of random filters. [default: by preset]", min=1)] = None,
    ridge: Annotated[
        str, typer.Option(help="Ridge penalties to try beside none, in units of the kernel's mean diagonal.")
    ] = "0.001,0.01,0.1",
    solver: Annotated[
        Literal["cholesky", "primal", "cg"] | None, option("How to solve. [default: by kernel and memory]")
    ] = None,
    memory: Annotated[float | None, option("Memory that may be used, in GiB. [default: half of what is free]")] = None,
) -> None:
    """Compute the interpolating solution of least norm, and ridge regression, on true and on random labels.

    Reports errors and norms: section 5, table 3. Says how much memory it needs before it starts.

    Example: `aumclean random-labels kernel photos/ --holdout 0.2 --kernel gaussian`
    """
    from aumclean.diagnostics.random_labels.kernel import KERNELS
    from aumclean.diagnostics.random_labels.kernel import kernel as run

    chosen = one_of(kernels, KERNELS, "--kernel") or KERNELS
    penalties = numbers(ridge, "--ridge", float)
    answer(run, study, chosen, gamma=gamma, filters=filters, ridges=penalties, solver=solver, memory=memory)


def rademacher(
    study: Study,
    draws: Annotated[int, typer.Option(help="Number of random draws of signs per seed.")] = 3,
    fractions: Annotated[str, typer.Option(help="Shares of the images to train on, such as 0.25,0.5,1.")] = "1",
    rate_decay: RateDecay = 0.95,
) -> None:
    """Estimate the empirical Rademacher complexity by training on random signs: section 2.2.

    No test set is needed.

    Example: `aumclean random-labels rademacher photos/ --draws 5`
    """
    from aumclean.diagnostics.random_labels.rademacher import rademacher as run

    answer(run, study, draws=draws, fractions=numbers(fractions, "--fractions", float), rate_decay=rate_decay)


def horizon(
    study: Study,
    share: Annotated[float, typer.Option(help="Share of the labels that are made wrong.")] = 0.1,
    draws: Annotated[
        int, typer.Option(help="Number of random choices of wrong labels per seed; each is one training.")
    ] = 3,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Mirror half of the images, as for scan.")] = True,
    first_epoch: Annotated[int | None, option("First epoch averaged, as for scan. [default: by preset]")] = None,
) -> None:
    """Find after how many epochs the scan's network memorises wrong labels; AUM must be read before.

    Makes some labels wrong and trains three times as long as scan does with its preset fast (for quick) or paper.
    `aumclean scan --horizon DIR` warns when its margins are read later. No test set is needed.

    Example: `aumclean random-labels horizon photos/ --limit 5000`
    """
    from aumclean.diagnostics.random_labels.horizon import horizon as run

    answer(run, study, share=share, draws=draws, flip=flip, first_epoch=first_epoch)


app = group(ABOUT, fit, sweep, regularize, expressivity, kernel, rademacher, horizon)
