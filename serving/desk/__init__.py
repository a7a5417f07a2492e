"""What calls and pages are answered from, and who may ask."""
