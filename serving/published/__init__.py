"""What jobs publish and the service reads: the shapes of their files."""
