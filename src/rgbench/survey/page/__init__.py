"""The page of a survey: what was found, how sure it is, and pictures of sources."""
