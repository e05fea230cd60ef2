"""Other tools' files of features, one file a format: read into a cache, written from one."""
