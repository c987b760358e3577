"""Follow instances through a video, and smooth their keypoints."""
