"""Turn a checkpoint into the network that is exported: BN folded, bytes in, named outputs, INT8 if asked for."""
