"""Layers and heads that the networks are made of."""
