"""Draw overlays of keypoints and heatmaps, and flatten the quadrilaterals that were found."""
