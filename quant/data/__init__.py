"""Data sets of labeled pictures, augmentation, and the encoding of keypoints as heatmaps."""
