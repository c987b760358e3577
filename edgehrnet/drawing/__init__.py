"""Draw results on pictures with Pillow alone, and flatten quadrilaterals.

==================  ===========================================================
``overlay``         draw keypoints, skeletons and heatmaps on a picture
``labels``          place names next to keypoints
``rectification``   flatten a sheet of paper that was photographed at an angle
``files``           write pictures
``coordinates``     keep coordinates within what Pillow can draw
==================  ===========================================================

Import from the modules. No function changes the picture that it is given.
"""
