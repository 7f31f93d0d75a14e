"""Record margins in a PyTorch loop of your own: one call per batch, one file per epoch."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

import aumclean
from aumclean.dataset.label_noise import uniform_noise
from aumclean.margins import margins
from aumclean.margins.log import EpochMargins, write_epoch

EPOCHS, BATCH = 12, 32


def main() -> None:
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    noisy = uniform_noise(digits.target, 10, 0.1, np.random.default_rng(0))
    labels = torch.from_numpy(noisy)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(EPOCHS):
            margin, runner_up = np.empty(len(labels), np.float32), np.empty(len(labels), np.int16)
            for index in torch.randperm(len(labels)).split(BATCH):
                logits = model(images[index])
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(logits, labels[index]).backward()
                optimizer.step()
                # of the same forward pass, raw logits; one call for the whole batch
                margin[index], runner_up[index] = (part.numpy() for part in margins(logits.detach(), labels[index]))
            everything = np.arange(len(labels), dtype=np.int32)
            recorded = EpochMargins(everything, margin, runner_up, np.zeros(len(labels), bool))
            write_epoch(Path(folder), draw=0, epoch=epoch, recorded=recorded, schedule={"learning_rate": 0.1})

        log = pd.read_parquet(folder)
    recorded = log[log["epoch"].astype(int) >= 1].pivot(index="epoch", columns="sample_id", values="margin")
    worst = aumclean.aum(recorded).argsort()[:100]
    print(f"of the 100 samples with the lowest AUM, {(noisy != digits.target)[worst].sum()} are mislabeled")


if __name__ == "__main__":
    main()
