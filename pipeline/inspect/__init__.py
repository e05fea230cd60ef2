"""One clip of a cache on one page: what every stage made of it, and where each number is from."""
