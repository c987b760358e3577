"""Score models against ground truth."""
