"""What is asked once, before anything runs: is it there, and what does it say of itself?"""
