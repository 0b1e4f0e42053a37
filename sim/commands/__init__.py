"""Commands that look into simulation models."""
