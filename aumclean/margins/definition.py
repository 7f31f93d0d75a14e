"""The definition of the margin."""

from typing import Any, TypeVar

Array = TypeVar("Array", bound=Any)  # a NumPy array or a torch tensor


def margins(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Logit of the assigned label minus the largest other logit, and which class that other one is.

    Written in what NumPy arrays and torch tensors have in common, so that training calls it on the device and
    anyone can call it on stored logits; no sample is handled on its own.

    Args:
        logits: float of shape [batch, classes], classes >= 2; raw, never a softmax.
        labels: int64 of shape [batch], the assigned classes.

    Returns:
        margin: float of shape [batch], negative where another class scores higher.
        runner_up: int64 of shape [batch], the class with the largest other logit.

    Source: Pleiss et al. 2020, section 3, equation 1.
    """
    row = (labels * 0 + 1).cumsum(0) - 1  # 0, 1, 2, ... on the labels' own device
    others = logits + 0.0
    others[row, labels] = float("-inf")
    runner_up = others.argmax(1)
    return logits[row, labels] - logits[row, runner_up], runner_up
