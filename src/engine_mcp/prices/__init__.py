"""Prices: what models cost, from the data of genai-prices and from the user's own file."""
