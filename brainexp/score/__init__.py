"""How well predictions fit responses: plain arrays in, plain arrays out."""
