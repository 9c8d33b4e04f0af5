"""What moto lacks: each patch and each conversion that lets it run the template."""
