"""Synthetic pictures with exact ground truth for training and tests."""
