"""Test model.joblib with prepared/test.npz; write metrics.json and confusion.csv."""

import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss
from threadpoolctl import threadpool_limits

PREPARED = Path("prepared")


def main() -> None:
    """Predict, compare, write both files, print the metrics."""
    test = np.load(PREPARED / "test.npz")
    model = joblib.load("model.joblib")
    chances = model.predict_proba(test["pixels"])
    predicted = chances.argmax(axis=1)
    metrics = {
        "accuracy": round(float(accuracy_score(test["labels"], predicted)), 4),
        "f1": round(float(f1_score(test["labels"], predicted, average="macro")), 4),
        "log_loss": round(float(log_loss(test["labels"], chances)), 4),
    }
    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    pairs = "".join(f"{actual},{guess}\n" for actual, guess in zip(test["labels"], predicted, strict=True))
    Path("confusion.csv").write_text("actual,predicted\n" + pairs, encoding="utf-8")
    print("  ".join(f"{name} {value:.4f}" for name, value in metrics.items()), flush=True)


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main()
