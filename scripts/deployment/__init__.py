"""The second engine as a check: LocalStack deploys the build with the real SAM CLI, and runs it as deployed."""
