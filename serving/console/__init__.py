"""The console: pages for the people who act, in the browser."""
