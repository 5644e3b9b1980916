"""The one kind of error whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can fix: the message says what was wrong, where, and what would be right."""
