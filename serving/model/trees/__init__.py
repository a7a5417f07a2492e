"""Trees read and explained: single rows without LightGBM, and exact attributions."""
