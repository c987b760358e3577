"""Generate synthetic photographs of documents from seeds: pages, backgrounds, other objects, and the camera."""
