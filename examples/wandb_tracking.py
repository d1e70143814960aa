"""Training that is tracked by Weights & Biases, or by any tracker that takes numbers by name.

`pip install wandb`, then `WANDB_MODE=offline python examples/wandb_tracking.py`.
"""

from pathlib import Path

import wandb

from ntm_jax.training.config import default
from ntm_jax.training.loop import train


def main(workdir: Path, **settings: int) -> None:
    """Trains the copy task; `settings` override keys of the config."""
    config = default("copy", "ntm")
    config.update(settings)
    with wandb.init(project="ntm", config=config.to_dict()) as run:
        # Numbers by the names that TensorBoard shows, such as "training/loss".
        summary = train(config, workdir, on_metrics=lambda step, metrics: run.log(metrics, step))
        run.summary.update({"stop_reason": summary["stop_reason"]})


if __name__ == "__main__":
    main(Path("runs/wandb_tracking"))
