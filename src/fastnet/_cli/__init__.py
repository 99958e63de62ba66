"""The commands of ``python -m fastnet``: one module each, imported when its command is given."""
