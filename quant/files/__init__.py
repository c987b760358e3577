"""Build model files and prove that they compute what the network computes."""
