"""Split the digits that scikit-learn brings along into prepared/train.npz and prepared/test.npz."""

from pathlib import Path

import numpy as np
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

PREPARED = Path("prepared")


def main() -> None:
    """Read params.yaml, write both halves, say how large they are."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["prepare"]
    pixels, labels = load_digits(return_X_y=True)
    if params["scale"] == "unit":
        pixels = pixels / 16.0
    train_pixels, test_pixels, train_labels, test_labels = train_test_split(
        pixels, labels, test_size=params["test_share"], random_state=params["seed"], stratify=labels
    )
    PREPARED.mkdir(exist_ok=True)
    np.savez(PREPARED / "train.npz", pixels=train_pixels, labels=train_labels)
    np.savez(PREPARED / "test.npz", pixels=test_pixels, labels=test_labels)
    print(f"prepared {len(train_labels)} images to learn from, {len(test_labels)} to be tested with", flush=True)


if __name__ == "__main__":
    main()
