"""Layers and heads shared by the networks."""
