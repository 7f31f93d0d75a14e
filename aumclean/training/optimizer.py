"""The optimisers that a recipe can name."""

import torch
from torch import nn

from aumclean.config.recipe import Recipe


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a model's weights; all but SGD with PyTorch's own settings beside rate and weight decay."""
    weights, rate, decay = model.parameters(), recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "sgd":
            nesterov = recipe.momentum > 0
            return torch.optim.SGD(weights, rate, recipe.momentum, weight_decay=decay, nesterov=nesterov)
        case "adam":
            return torch.optim.Adam(weights, rate, weight_decay=decay)
        case "adagrad":
            return torch.optim.Adagrad(weights, rate, weight_decay=decay)
        case "adadelta":
            return torch.optim.Adadelta(weights, rate, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(weights, rate, weight_decay=decay)
