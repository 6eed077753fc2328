"""The front door: one file per verb, each a function that a person calls from Python.

``import quantkit`` offers all of them, and imports each on first use. The command line calls them
and nothing below, so both have the same defaults and do the same checks.
"""
