"""One turn: ask, run tools, repeat, within limits; knows no provider and no chat."""
