"""The last layer of every network."""

import torch
from torch import nn


class Float32Linear(nn.Linear):
    """The last layer, in float32 whatever the autocast around it: margins are differences of its outputs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of features [batch, features]."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())
