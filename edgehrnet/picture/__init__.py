"""Read pictures and turn them into network inputs.

==============  ==========================================================================
``sources``     read a picture file, array or tensor as RGB, and list a folder's pictures
``letterbox``   scale a whole picture into the network input
``crops``       cut a box out of a picture, as the published HRNets do
``boxes``       read the boxes of many pictures from a JSON file
``matching``    find the boxes of a picture by its file name or image id
``cells``       convert between heatmap cells and input pixels
==============  ==========================================================================

Import from the modules. The package itself exports nothing, so that importing one module loads no other.
"""
