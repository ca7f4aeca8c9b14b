"""What the script imports from beside it."""


def scaled(rows, mean, deviation):
    """Columns around 0, as the model was trained."""
    return (rows - mean) / deviation
