"""What a network is refused with."""


class Refused(ValueError):
    """A network that cannot be trained or analysed; the message says why and what to do."""
