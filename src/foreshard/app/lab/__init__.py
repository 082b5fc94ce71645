"""The trial put together: policies by name, cores by size, runs, tables and explanations."""
