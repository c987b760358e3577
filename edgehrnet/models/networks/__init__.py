"""Define the networks: EdgeHRNet, HRNet and Lite-HRNet."""
