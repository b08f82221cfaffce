"""One's own images: folders, manifests, tables of sources, and what is wrong with them."""
