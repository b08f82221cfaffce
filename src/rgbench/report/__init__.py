"""Tables, figures and the HTML report; everything here reads comparisons and records, never torch."""
