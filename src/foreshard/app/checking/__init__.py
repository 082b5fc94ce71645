"""What `foreshard check` looks at, and what it makes of it: facts, judgements, the visit."""
