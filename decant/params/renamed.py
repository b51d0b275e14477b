"""Settings that had another name in an earlier version."""

RENAMED: dict[str, str] = {}  # "block.old" -> "block.new"


def rename_hint(key: str) -> str | None:
    """Name the new key of a setting that was renamed; None for any other key."""
    return f"`{key}` was renamed to `{RENAMED[key]}`" if key in RENAMED else None
