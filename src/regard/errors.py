"""The one error for a user's mistake, so that every door can tell it from a bug of ours."""


class UserError(ValueError):
    """Something given by the user cannot be used; the message says what came, what was expected and what to do."""
