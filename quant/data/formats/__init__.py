"""Readers of label formats. Each returns the same `Annotations`."""
