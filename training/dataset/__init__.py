"""The data set of an outcome: labels, rows, splits and matrices."""
