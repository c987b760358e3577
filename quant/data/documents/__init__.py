"""Photographs of documents, drawn from seeds: pages, what they lie on, what lies around, and the camera."""
