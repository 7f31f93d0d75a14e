"""Record the margins of a PyTorch loop of your own: five added lines, and the labels are judged when it ends."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

import aumclean
from aumclean.dataset.label_noise import uniform_noise

EPOCHS, BATCH = 30, 32


def main() -> None:
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    noisy = uniform_noise(digits.target, 10, 0.1, np.random.default_rng(0))

    with tempfile.TemporaryDirectory() as folder:
        run = record(images, noisy, Path(folder) / "run")
        suspects = run.suspects["sample_id"]
    wrong = (noisy != digits.target)[suspects]
    print(f"{len(wrong)} of {len(noisy)} labels are suspect, and {wrong.sum()} of these are wrong")


def record(images: torch.Tensor, given: np.ndarray, out: Path) -> aumclean.Run:
    with aumclean.Recorder(given, out=out) as recorder:
        for draw in range(recorder.draws):
            labels = torch.from_numpy(recorder.training_labels(draw))
            torch.manual_seed(draw)
            model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, recorder.outputs))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
            for _ in range(EPOCHS):
                for index in torch.randperm(len(labels)).split(BATCH):
                    logits = model(images[index])
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(logits, labels[index]).backward()
                    optimizer.step()
                    recorder.update(logits, index, draw)  # of the same forward pass, raw logits
                recorder.end_epoch(draw)
    return aumclean.open_run(out)


if __name__ == "__main__":
    main()
