"""The equation of attention in interchangeable parts: scores, masks, biases, normalisers, and the plain computation."""
