"""Pickles of the field's files without running them: lives in `core.safe_pickle`, below every reader."""

from posewright.core.safe_pickle import ALLOWED, MAX_BYTES, RestrictedUnpickler, read_object_npz, read_pickle

__all__ = ["ALLOWED", "MAX_BYTES", "RestrictedUnpickler", "read_object_npz", "read_pickle"]
