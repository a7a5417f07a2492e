"""Files and folders that are whole or not there, also while others read and write them."""
