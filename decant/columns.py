"""The names of all columns of all tables."""


class Columns:
    """Column names shared by all tables.

    `events` has one row per behaviour of a user on an item; `users` one row per user; `items` one
    row per item.
    """

    USER = "user"  # pseudonym, str; the raw id never leaves ingest
    ITEM = "item"  # str, the source's own id
    BEHAVIOUR = "behaviour"  # str: view, cart, purchase, rating …
    TIME = "time"  # float64, seconds since the epoch (UTC); NaN where the source has no clock
    RATING = "rating"  # float64; NaN where the source has none
    ORDER = "order"  # int64, the row's place in the order of arrival

    SOURCE = "source"  # str, the log a row came from, e.g. "purchases"
    ROW = "row"  # int64, 1-based line of that row within its file, the header included
    FILE = "file"  # str, the file's name within data/raw/<source>
    MALFORMED = "malformed"  # str, the problem of a malformed line; missing if none
    REASON = "reason"  # str, why a row was quarantined

    TITLE = "title"  # str, the item's title
