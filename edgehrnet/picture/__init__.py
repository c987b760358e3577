"""Read pictures and turn them into network inputs."""
