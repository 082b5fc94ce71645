"""One recurrent network for the whole fleet, in plain JAX: the extra `foreshard[lstm]`."""
