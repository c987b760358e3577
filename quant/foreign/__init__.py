"""Quantize model files of other projects, for which there is no torch network."""
