"""Train networks, in float or with quantizers."""
