"""Exceptions and warnings of the frame layer, typed so that they can be caught and filtered."""


class FormulaError(ValueError):
    """The formula cannot be read, or does not fit the data."""


class DataError(ValueError):
    """The data, weights, offset or new data cannot be used with the formula."""


class JaxmixedWarning(UserWarning):
    """Base class of every warning of this package."""


class SingularFitWarning(JaxmixedWarning):
    """A variance component is estimated as zero, or a correlation as one in size."""


class DroppedRowsWarning(JaxmixedWarning):
    """Rows were dropped because a variable of the model is missing there."""


class ConvergenceWarning(JaxmixedWarning):
    """The optimiser stopped before it reached a minimum of the criterion."""


class AliasedColumnsWarning(JaxmixedWarning):
    """Columns of the fixed-effects matrix were dropped as linear combinations of others."""


class SingularClusterWarning(JaxmixedWarning):
    """Some clusters cannot be fitted by themselves."""


class RefitWarning(JaxmixedWarning):
    """Models fitted by REML were fitted again by maximum likelihood, to be compared."""


class InterruptedWarning(JaxmixedWarning):
    """A long computation was interrupted; what it returns was done before."""
