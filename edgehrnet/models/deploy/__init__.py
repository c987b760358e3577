"""Turn a checkpoint into the network that is exported, in float or INT8, from uint8 pictures to named outputs."""
