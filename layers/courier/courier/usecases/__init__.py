"""What each Lambda function does: one module per function, under the function's name."""
