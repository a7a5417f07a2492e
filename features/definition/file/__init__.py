"""The file of a definition: read, with the one that it includes, and every mistake named."""
