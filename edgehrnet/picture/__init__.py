"""Read pictures and turn them into network inputs.

==============  ==========================================================================
``sources``     read a picture file, array or tensor as RGB, and list a folder's pictures
``letterbox``   scale a whole picture into the network input
``crops``       cut a box out of a picture, as the published HRNets do
``cells``       convert between heatmap cells and input pixels
==============  ==========================================================================

Import from the modules. The package itself exports nothing, so that importing one module loads no other.
"""
