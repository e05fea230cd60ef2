"""A page in the browser into which a clip is dropped, to see what a model says of it and why."""
