"""This module is the room of who steers: Foreshard, its peers and the oracle, on equal terms."""
