"""What goes over the wire to destinations: messages, requests, notices, and which addresses are allowed."""
