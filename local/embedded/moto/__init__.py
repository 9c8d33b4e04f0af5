"""What moto lacks to run the template: patches and conversions, each with the upstream issue that would end it."""
