"""The live log: its messages, what repeats are known by, and what was refused."""
