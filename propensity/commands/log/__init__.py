"""Commands about a log of one's own: import it, propose a definition for it, check it."""
