"""What is said of results, in whole sentences: the one place for terminal, page and files.

Results are numbers and names (`rgbench.statistics`, `rgbench.comparison.results` and its neighbours); each function
here takes one and gives its sentence.
"""
