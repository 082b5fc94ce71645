"""What is generated in the documentation: from the code, never beside it."""
