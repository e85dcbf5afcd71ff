"""How texts are measured."""


def characters(text: str) -> int:
    """The length of a text as every client counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2
