"""The model registry as serving reads it: champions, their files, and the versions beside them."""
