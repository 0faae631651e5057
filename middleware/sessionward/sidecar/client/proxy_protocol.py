"""The PROXY protocol."""
def parse(data): raise ValueError
