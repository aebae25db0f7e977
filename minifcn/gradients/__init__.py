"""How a gradient check works inside; what to call is in `minifcn.testing`.

    subjects.py      what is checked: a layer or a pair of functions, and the tensors to probe
    differences.py   the probes: central differences of the forward pass
    comparison.py    backward pass and probes side by side
    report.py        the result, for people
"""
