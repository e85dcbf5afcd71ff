"""One module per resource, each one Lambda function."""
