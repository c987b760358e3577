"""Feed damaged and random input to everything that reads files, pictures or arguments, and report foreign errors."""
