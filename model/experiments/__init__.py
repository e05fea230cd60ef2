"""The paper's experiments: many trainings, resumable, as one table."""
