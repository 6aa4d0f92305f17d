"""The pandas shell: formulas and data frames in, tables and predictions out."""
