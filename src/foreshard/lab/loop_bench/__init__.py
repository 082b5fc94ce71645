"""What a whole turn of the loop costs, from raw telemetry to encoded routes, at any size."""
