"""A definition proposed for a log nobody has described yet: what each column is, which events matter, which rhythm."""
