"""EdgeHRNet, HRNet and Lite-HRNet as PyTorch modules."""
