"""The contract of an extractor: settings, fields, inputs and results."""
