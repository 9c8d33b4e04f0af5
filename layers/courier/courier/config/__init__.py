"""What operators and the template decide."""
