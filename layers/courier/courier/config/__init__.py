"""Configuration: environment variables, the settings of the sources, their secrets, and validation messages."""
