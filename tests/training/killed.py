"""A training run that is killed after a step, for the tests: `python -m tests.training.killed WORK STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from inference.training.prepare import Workshop
from inference.training.train import Step, train
from tests.training import corpora


def main(work: str, last: str) -> None:
    def watch(step: Step) -> None:
        if step.step == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    train(corpora.recipe(), Workshop(Path(work)), watch, device="cpu")


if __name__ == "__main__":
    main(*sys.argv[1:])
