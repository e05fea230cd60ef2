"""Files: read, written whole, digested, locked."""
