"""``pixelarm diagnose``: why a training run does not learn."""
