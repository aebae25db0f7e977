"""How many planes (images of one channel) the threads of a launch work on at a time; planes.h has the other half."""

FILL = 1 << 20  # threads: some four times as many as a large card holds, so that the last ones are not waited for long


def at_once(pixels, planes):
    """As few planes as fill a card: each thread goes from one to the next, and what it works out serves for all."""
    return min(planes, -(-FILL // max(1, pixels)))
