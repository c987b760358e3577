"""Train keypoint networks in float, and fine-tune them with fake quantization."""
