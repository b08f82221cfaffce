"""Stored networks looked at again: disturbed images, dropout left on, maps, embeddings, receptive fields."""
