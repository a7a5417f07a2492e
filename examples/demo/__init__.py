"""A shop app whose users move through hidden states: a log to learn from, and the best possible answers to it."""
