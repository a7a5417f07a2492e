"""What the events of a log are: kinds, purchases and their orders, and the rhythm in which they come."""
