"""What a grid will take, before it is started: jobs, checkpoints, bytes and hours.

`latentgen.estimate.counts` and `latentgen.estimate.work` say of what and how much a grid is made, `pilot` measures one
of each, `totals` multiplies and adds, `text` tells. Importing this package, `counts` or `work` imports nothing that
computes.
"""

#: Raised by hand when a change alters what a pilot measures, or what is made of it.
VERSION = 2
