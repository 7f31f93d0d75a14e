"""Closing epochs: the last share of a training, where the learning rate falls, and of which no AUM is read."""


def closing_epochs(epochs: int, share: float) -> int:
    """How many of the epochs come last.

    Args:
        epochs: of the training.
        share: of them that close it, 0..1, rounded down to whole epochs.
    """
    return int(share * epochs + 1e-9)
