"""One cell of the demo: a real HTTP server with resources that run out as real ones do."""
