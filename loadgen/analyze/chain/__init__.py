"""The links of scaling events: their times, durations, sources and resolutions, and the one to fix first.

    scaling events, audit, events of pods, requests by replica ─▶ links ─▶ EventChain ─▶ fix

Pure: arrays and events in, frozen results out.
"""
