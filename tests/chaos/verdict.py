"""What the checks of a run raise."""


class Wrong(Exception):
    pass


def check(true, *what):
    if not true:
        raise Wrong(*what)
