"""Declares every pitfall: its code, severity, consequence and fix."""

from loadgen.lint.codes import scaling, serving, signal

ALL = (*signal.ALL, *scaling.ALL, *serving.ALL)
"""Every pitfall that `loadgen lint` can find."""
