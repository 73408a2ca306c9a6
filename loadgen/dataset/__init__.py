"""The run folder: its files, tables and names, shared by the programs that write it and those that read it."""
