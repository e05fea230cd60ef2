"""The networks behind the extractors."""
