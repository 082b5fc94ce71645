"""The nouns of Foreshard: frozen values that every other layer speaks in."""
