"""From a long video to spans of it, one an utterance."""
