"""Serve models over the Open Inference Protocol v2, by REST and gRPC."""
