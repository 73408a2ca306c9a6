"""Parts of `load_engine.py`: clients that are compared, each in processes of its own."""
