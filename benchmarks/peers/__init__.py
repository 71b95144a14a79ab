"""Our figures beside those of other packages that do a part of the same: ``make bench-peers``.

`others` holds what runs in the environment of those packages, which has none of ours; `comparisons` says who is measured at what.
"""
