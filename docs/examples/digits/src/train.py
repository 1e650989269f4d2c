"""Train a small neural network on prepared/train.npz, one line of output an epoch; write model.joblib and loss.csv."""

from pathlib import Path

import joblib
import numpy as np
import yaml
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

PREPARED = Path("prepared")


def main() -> None:
    """Read params.yaml, train epoch by epoch, write the model and how its loss went."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["train"]
    train = np.load(PREPARED / "train.npz")
    model = MLPClassifier(
        hidden_layer_sizes=(params["hidden"],),
        learning_rate_init=params["lr"],
        batch_size=params["batch"],
        alpha=params["penalty"],
        random_state=params["seed"],
    )
    epochs = params["epochs"]
    losses = []
    for epoch in range(1, epochs + 1):
        model.partial_fit(train["pixels"], train["labels"], classes=range(10))
        losses.append(f"{epoch},{model.loss_:.5f}\n")
        print(f"epoch {epoch:3}/{epochs}  loss {model.loss_:.4f}", flush=True)
    joblib.dump(model, "model.joblib")
    Path("loss.csv").write_text("epoch,loss\n" + "".join(losses), encoding="utf-8")


if __name__ == "__main__":
    # One thread: sums come out the same on every machine, and two experiments at once don't fight for the cores.
    with threadpool_limits(limits=1):
        main()
