"""Other questions asked of the same data and the same training: why a data set is, or is not, learnable.

study      what a diagnostic trains and tests on: DATA and its test part, decoded
trainings  one training of a diagnostic, stored when it ends, gone on with when it was stopped
rows       rows of what was measured, and their mean over seeds
tables     the tables of all diagnostics, by the names of their files
store      the directory that a diagnostic writes
report     what it found, as data: tables, figures, pictures, sentences
write      a report into that directory: CSV, JSON, SVG, PNG and one page
"""
