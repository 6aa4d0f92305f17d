"""Times and answers of this package beside those of others; see README.md."""
