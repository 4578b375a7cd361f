"""The small chat model that ships with Chorus, in `model/`: loaded like any other local folder."""

from pathlib import Path

EMBEDDED = "embedded"
"""Its name."""

FOLDER = Path(__file__).parent / "model"
