"""posewright: photos, videos and camera rigs to 3D human pose and motion."""

__version__ = "0.1.0"
