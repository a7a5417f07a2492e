"""Commands that look back: what came true, what helped, whom it moved, and what users do over time."""
