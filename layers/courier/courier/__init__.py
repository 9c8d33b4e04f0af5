"""Build Courier: the package that the five functions share."""

__version__ = "0.1.0"
