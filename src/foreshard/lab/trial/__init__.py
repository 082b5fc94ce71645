"""This module is the room of trials: runs by the matrix, what they are worth, and what that shows.

Reading order: `task` and `runner` (what is played), `score` (one run, with its companions),
`comparison` (policies of one scenario, paired over seeds), `claim` (what has to hold).
"""
