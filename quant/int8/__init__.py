"""Quantize networks to INT8: placement, ranges, fake quantization."""
