"""Attacks on a plain and on an adversarially trained network, and first-layer kernels made smoother."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.figures import Figure, Line, Panel, Picture
from aumclean.diagnostics.frequency.bands import batches
from aumclean.diagnostics.frequency.heuristics import EPSILON, QUICK_ATTACK_STEPS
from aumclean.diagnostics.frequency.kernels import drawn, first_layer, roughness, smoothed
from aumclean.diagnostics.frequency.presets import SETTINGS, limits
from aumclean.diagnostics.frequency.record import Robustness
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import EpochRow, over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Preset, Study, asking, open_study
from aumclean.diagnostics.trainings import trained
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError
from aumclean.progress import Track, by_default, part_of, untracked
from aumclean.training import augment
from aumclean.training.attack import pgd
from aumclean.training.models import build_model
from aumclean.training.network import Network, read_network

EPSILONS: dict[Preset, tuple[float, ...]] = {"quick": (0.03,), "paper": (0.03, 0.06, 0.09)}
RHOS: dict[Preset, tuple[float, ...]] = {"quick": (0.0, 0.25, 1.0), "paper": (0.0, 0.1, 0.25, 0.5, 1.0)}
ATTACKS = {"fgsm": 1, "pgd": 10}  # steps, which together could go as far as epsilon
BETWEEN = 2  # for the smallest successful epsilon, so many values per epsilon asked for are tried
BATCH = 100


def robustness(
    options: Options,
    *,
    epsilons: tuple[float, ...] | None = None,
    rhos: tuple[float, ...] | None = None,
    keep_gain: bool = False,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train plainly and adversarially, smooth the first layer of each after training, and attack.

    Wang et al. 2020, section 6, Table 2 and Figure 7. Two numbers are given for every attack and epsilon: the accuracy
    under the attack with exactly that epsilon, and the share of images that no smaller epsilon fools either, which is
    what a search for the smallest successful epsilon reports.

    Args:
        options: what to train on and how.
        epsilons: largest change of a pixel, in 0..1; by default by preset.
        rhos: strength of the smoothing; by default by preset; 0, the network as trained, is always among them.
        keep_gain: divide smoothed kernels by 1 + 8 rho; the paper does not.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    epsilons = epsilons or EPSILONS[options.preset]
    rhos = tuple(sorted({0.0, *(rhos or RHOS[options.preset])}))
    if max(epsilons) > 1 or min(epsilons) <= 0:
        raise ConfigError("--epsilons: must be above 0 and at most 1, such as 0.03,0.06")
    setting = SETTINGS[options.preset]["robustness"]
    study = open_study(options, limit=setting.limit, test_limit=options.test_limit or setting.watched, track=track)
    recipes = _recipes(options, study)
    natural = recipes["natural"]
    first_layer(build_model(natural.arch, len(study.train.class_names), study.image_size))  # which not every one has
    asked = asking(
        "frequency robustness", options, study, epsilons=epsilons, rhos=rhos, keep_gain=keep_gain,
        recipe=asdict(recipes["adversarial"]),
    )  # fmt: skip
    per_seed: list[list[Robustness]] = []
    pictures: list[Picture] = []
    with asked as store:
        for seed in options.seeds:
            rows: list[Robustness] = []
            for name, recipe in recipes.items():
                training = f"{name}-seed={seed}"
                trained(
                    store, training, study.train, recipe, EpochRow, seed=seed, accelerator=study.accelerator,
                    keep_weights=True, track=track,
                )  # fmt: skip
                network = read_network(store.weights(training))
                for number, rho in enumerate(rhos):
                    done, whole = number * len(study.test), len(rhos) * len(study.test)
                    attacking = part_of(track, f"attacking {training}", done, whole)
                    found = _attacked(network, study, rho, keep_gain, epsilons, natural.bf16, attacking)
                    rows.append(Robustness(model=name, rho=rho, **found))
                if seed == options.seeds[0]:
                    pictures += _pictures(network, name, rhos, keep_gain)
            per_seed.append(rows)
        report = _report(options, study.name, over_seeds(per_seed, ["model", "rho"]), epsilons, pictures, keep_gain)
        report.settings.update({**study.about(), **asdict(natural), "attack in training": EPSILON})
        return write(store, report)


def _recipes(options: Options, study: Study) -> dict[str, Recipe]:
    """The plain training, and the one against an attack."""
    natural = options.recipe(SETTINGS[options.preset]["robustness"].recipe, study.accelerator)
    steps = QUICK_ATTACK_STEPS if options.preset == "quick" else 10
    return {"natural": natural, "adversarial": replace(natural, adversarial=EPSILON, adversarial_steps=steps)}


def _attacked(
    network: Network, study: Study, rho: float, keep_gain: bool, epsilons: Sequence[float], bf16: bool, track: Track
) -> dict[str, float]:
    about, device = network.about, study.accelerator.device
    model = smoothed(network.on(device), rho, keep_gain=keep_gain)
    found = under_attack(model, study.test, about.mean, about.std, epsilons, device=device, bf16=bf16, track=track)
    return {**found, "roughness": roughness(first_layer(model).weight)}


def under_attack(
    model: nn.Module,
    test: Dataset,
    mean: Sequence[float],
    std: Sequence[float],
    epsilons: Sequence[float],
    *,
    device: torch.device,
    bf16: bool = False,
    track: Track = untracked,
) -> dict[str, float]:
    """Accuracy as it is and under attack.

    Args:
        model: on the device, in evaluation mode.
        test: images and right labels; the attack climbs away from the label.
        mean, std: per channel, in 0..255.
        epsilons: in 0..1.
        device: where to compute.
        bf16: compute in bfloat16.
        track: for a progress display.

    Returns:
        `clean`, and for each attack and epsilon `fgsm-0.03`, the accuracy at that epsilon, and `fgsm-0.03-search`, the
        share of images that neither it nor any smaller epsilon that is tried fools.
    """
    shift, scale = (torch.tensor(list(values), device=device) for values in (mean, std))
    tried = sorted({epsilon * part / BETWEEN for epsilon in epsilons for part in range(1, BETWEEN + 1)})
    right: dict[tuple[str, float], list[np.ndarray]] = {}

    def record(attack: str, epsilon: float, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(augment.normalise(pixels, shift, scale)).float()
        right.setdefault((attack, epsilon), []).append((logits.argmax(1) == labels).cpu().numpy())

    done = 0
    for pixels in track(batches(test.images, device, BATCH), "", 0, len(test)):
        labels = torch.from_numpy(test.labels[done : done + len(pixels)]).to(device)
        done += len(pixels)
        record("clean", 0.0, pixels, labels)
        for epsilon in tried:
            for attack, steps in ATTACKS.items():
                attacked = pgd(model, pixels, labels, shift, scale, epsilon, steps, epsilon / steps, bf16=bf16)
                record(attack, epsilon, attacked, labels)
    whole = {key: np.concatenate(parts) for key, parts in right.items()}
    clean = whole["clean", 0.0]
    found = {"clean": float(clean.mean())}
    for attack in ATTACKS:
        for epsilon in epsilons:
            found[f"{attack}-{epsilon:g}"] = float(whole[attack, epsilon].mean())
            smaller = [whole[attack, other] for other in tried if other <= epsilon]
            found[f"{attack}-{epsilon:g}-search"] = float(np.logical_and.reduce([clean, *smaller]).mean())
    return found


def _pictures(network: Network, name: str, rhos: Sequence[float], keep_gain: bool) -> list[Picture]:
    strongest = max(rhos)
    shown = []
    for rho in dict.fromkeys((0.0, strongest)):
        weights = first_layer(smoothed(network.model, rho, keep_gain=keep_gain)).weight
        if weights.shape[1] != 3:
            return []
        caption = f"First-layer kernels of the {name} network with rho {rho:g}, each stretched to its own range; "
        caption += f"roughness {roughness(weights):.2f}."
        shown.append(Picture(f"kernels-{name}-rho={rho:g}", f"Kernels, {name}, rho {rho:g}", caption, drawn(weights)))
    return shown


def _report(
    options: Options,
    name: str,
    rows: list[Robustness],
    epsilons: Sequence[float],
    pictures: list[Picture],
    keep_gain: bool,
) -> Report:
    def of(model: str, rho: float) -> Robustness:
        return next(row for row in rows if row.model == model and row.rho == rho)

    rhos = sorted({row.rho for row in rows})
    least, most, first = rhos[0], rhos[-1], f"{epsilons[0]:g}"
    before, after = of("natural", least), of("natural", most)
    said = [
        f"Smoothing the first layer of the natural network with rho {most:g} takes clean accuracy from "
        f"{before.clean:.1%} to {after.clean:.1%} and accuracy under PGD with epsilon {first} from "
        f"{getattr(before, f'pgd-{first}'):.1%} to {getattr(after, f'pgd-{first}'):.1%}.",
        f"Roughness of the first layer: {before.roughness:.2f} natural, {of('adversarial', least).roughness:.2f} "
        "adversarial (0 flat, about 2 random).",
        "FGSM and PGD with ten steps are the paper's attacks; stronger ones exist, so these are upper limits of "
        "robustness. 'search' counts an image only if no smaller epsilon fools the network either.",
    ]
    said += limits(options, ["a network near its final accuracy", "attacks of ten steps in training"])
    panels = []
    for attack in ATTACKS:
        columns = ("clean", *(f"{attack}-{epsilon:g}" for epsilon in epsilons))
        lines = [
            Line(f"{model}, rho {rho:g}", [0.0, *epsilons], [getattr(of(model, rho), name) for name in columns],
                 dashed=rho != least, colour=colour)
            for colour, model in enumerate(("natural", "adversarial"))
            for rho in (least, most)
        ]  # fmt: skip
        panels.append(Panel(attack.upper(), "epsilon", "accuracy", lines))
    lines = [
        Line(
            f"{model}, {key}",
            rhos,
            [getattr(of(model, rho), key) for rho in rhos],
            dashed=key != "clean",
            colour=colour,
        )
        for colour, model in enumerate(("natural", "adversarial"))
        for key in ("clean", f"pgd-{first}")
    ]
    panels.append(Panel("smoothing", "rho", "accuracy", lines))
    gain = "divided by 1 + 8 rho" if keep_gain else "not divided by 1 + 8 rho, as in the paper"
    return Report(
        title=f"{name}: attacks and smooth kernels",
        lead="A plain and an adversarially trained network, attacked as they are and with their first layer smoothed.",
        said=said,
        tables=[
            Table(
                "robustness", "Accuracy under attack", rows, note=f"Smoothed kernels are {gain}; borders are repeated."
            )
        ],
        figures=[Figure("robustness", "Accuracy under attack", "Accuracy against epsilon and against rho.", panels)],
        pictures=pictures,
    )
