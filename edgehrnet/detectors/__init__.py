"""Find the boxes of the instances in a picture with a detector of another project."""
