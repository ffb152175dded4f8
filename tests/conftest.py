"""What every test may use."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded motion, photos and videos; tests that need it say so when it is absent."""
    folder = Path(os.environ.get("POSEWRIGHT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"recorded data not found at {folder}; set POSEWRIGHT_DATA to the folder that holds it")
    return folder
