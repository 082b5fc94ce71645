"""Where numbers come from: cells that speak of themselves, balancers that count."""
