"""Seasons and slow trends of single gauges, fitted by Prophet: the extra `foreshard[prophet]`."""
