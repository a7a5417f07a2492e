"""The log where it lies: its columns checked, its rows streamed in our terms, and what of them cannot be read."""
