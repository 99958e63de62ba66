"""`fastnet.schedules`, where Keras has them."""

from .. import schedules as _schedules

__all__ = list(_schedules.__all__)

globals().update((name, getattr(_schedules, name)) for name in __all__)
