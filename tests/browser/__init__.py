"""Pages of the service, as a browser shows them."""
