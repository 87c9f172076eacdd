"""What would make it right: the user's own function with one thing changed, run at the same points.

A mistake is small beside the function that it stands in.  So every small change of the function is
tried, and the one with which every gradient is right tells the mistake: where it stands, and what
stands there.  That is read off the user's text and proved by running it; no layer is known here.
"""
