"""A dataset as one HTML page: films, curves, a map of where episodes begin, and what the data lack."""
