"""How fast minifcn is beside PyTorch, measured so that the answer means something.

    make bench                                          # everything, with the environment that it needs
    python -m benchmarks.cpu --quick --rows "max-pool"  # from the repository's root

A benchmark is an experiment, and it goes wrong in well-known ways. The rules here, and the file that keeps each:

* One process, A B A B, medians (clock.py). A machine's clock rate and its neighbours change from minute to minute, so
  only runs that take turns can be compared, and never figures of two runs or of two machines.
* The libraries do not disturb each other (clock.py). Two pools of threads on the same cores spin against each other,
  so there is a pause between the turns in which the other's threads go to sleep, and both get the same number of them.
* The first call is not counted (clock.py): it compiles, faults pages in, makes pools of threads.
* Inputs do not lie in the cache already (inputs.py), as in a network, where each layer's input comes from the last one.
* The peer is used as its experts would (peers.py): no gradient recorded where none is needed, both memory layouts,
  fused updates. Its default and its best stand side by side, and a bar that is only reached against its default is
  marked as such.
* Both compute the same (accuracy.py): each row's error against float64 stands beside its speed, and a test holds the
  two sides of each row together. A fast wrong answer is worth nothing.
* A ratio says who is faster, not whether either is fast (limits.py): each row also says what share of the processor's
  measured arithmetic or memory speed was used.
* What is not measured is said (report.py).

On a GPU the rows, the cases and the turns are the same. Other files say what differs there: the clock, and why calls
are queued behind a copy (gpu_card.py), the aims and the order of rows (gpu_rows.py), errors by norm (gpu_errors.py),
the floor that memory and arithmetic set each row (gpu_report.py), what becomes of a row that fails (gpu.py).

    make gpu GPU="--quick --minutes 8" PYTHON=python3   # with this Python's packages; nothing is downloaded
    python3 -m benchmarks.gpu --out FOLDER              # from a bare checkout: NumPy, CuPy and PyTorch with CUDA
"""
