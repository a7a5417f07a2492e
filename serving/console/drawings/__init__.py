"""What is drawn on pages: where the parts of each drawing lie."""
