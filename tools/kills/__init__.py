"""Kill the commands that write files, and fill the disk under them, and check what is left."""
