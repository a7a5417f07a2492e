"""What can be seen of the newest predictions before their labels are known."""
