"""The last layer of every network, which on features of a backbone is all of it."""

import torch
from torch import nn


class Float32Linear(nn.Linear):
    """The last layer, in float32 whatever the autocast around it: margins are differences of its outputs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of features [batch, features]."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class LinearHead(Float32Linear):
    """A linear layer on features; it starts at zero, so that no class is favoured by chance."""

    def reset_parameters(self) -> None:
        """Start at zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of features, [batch, width] or [batch, 1, width]."""
        return super().forward(input.flatten(1))
