"""The composition root: the only room that knows every part by name.

One module a process, so that each loads only what it needs.
"""
