"""The forecast's inner loops, compiled; each stands beside a reference that tests hold it to."""
