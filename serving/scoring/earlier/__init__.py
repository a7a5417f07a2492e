"""What an earlier batch has answered: read whole, or looked up by user."""
