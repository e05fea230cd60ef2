"""Side-by-side measurements, each run by one command, each printing a ratio."""
