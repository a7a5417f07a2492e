"""Why an answer is what it is, or why there is none, in words."""
