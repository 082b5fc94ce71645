"""The trial: cells that really run and really fail, and the judgement on who steered better."""
