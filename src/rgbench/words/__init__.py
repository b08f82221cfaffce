"""What is said of results, in whole sentences: the one place for terminal, page and files.

Results are numbers and names (`rgbench.statistics`, `rgbench.comparison`); each function here takes one and gives its
sentence. It knows of them their types alone, so that a result can offer its own sentence, as `Comparison.words` does.
"""
