"""Ways to prove names to an authority: one module for each challenge, and what they need."""
