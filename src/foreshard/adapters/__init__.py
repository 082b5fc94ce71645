"""The outside world, one package a kind of system; each knows the ports and the nouns only."""
