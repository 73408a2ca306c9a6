"""Reports: one function per format over `loadgen.analyze.results.Analysis`."""
