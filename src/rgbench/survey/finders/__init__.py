"""Source finders: what finds islands of bright pixels in a part of a mosaic, by photutils or PyBDSF."""
