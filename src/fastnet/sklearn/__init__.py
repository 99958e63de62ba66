"""Estimators for scikit-learn, 1.6 to 1.9: networks in its pipelines, searches and ensembles.

Imported when it is used: ``fastnet.sklearn.MLPClassifier``. Needs scikit-learn, the extra ``sklearn``.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("fastnet.sklearn needs scikit-learn: pip install fastnet-engine[sklearn]") from error

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
