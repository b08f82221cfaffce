"""The formats that the classes of a survey are written in: one file a format."""
