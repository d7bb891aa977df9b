"""What was raised, as the tests name it."""

import penstock


def public_type(exc):
    """Return the public class of an exception, which may be of a subclass of it.

    Where AnyIO or Trio is loaded, what penstock raises is also what they call it.
    """
    return next(cls for cls in type(exc).__mro__ if vars(penstock).get(cls.__name__, cls) is cls)
