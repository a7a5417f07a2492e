"""The live path of a process: what starts threads, and what it needs."""
