"""Surveys: a catalogue and mosaics in, a class for every row out."""
