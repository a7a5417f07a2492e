"""What was predicted, kept until it can be compared with what happened."""
