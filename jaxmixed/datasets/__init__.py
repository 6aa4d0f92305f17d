"""Data sets of published studies, as data frames ready to fit.

>>> import jaxmixed as jm
>>> jm.datasets.load("sleepstudy").head(3)
   Reaction  Days Subject
0  249.5600     0     308
1  258.7047     1     308
2  250.8006     2     308
"""

from ._load import DatasetError as DatasetError, load as load, names as names
