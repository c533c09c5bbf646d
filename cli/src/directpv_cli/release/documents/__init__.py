"""Reference pages of docs/, made of what the programs themselves say; nothing in them is written by hand."""
