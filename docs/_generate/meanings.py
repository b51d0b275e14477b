"""What each block is for, and what the keys inside of a setting mean.

The meaning of a setting itself is its comment in params.yaml.
"""

BLOCKS = {
    "raw": "Size of the demo shop, and share of defects in its data.",
    "ingest": "Layout of your own tables, for `source: files`; the protocol of MovieLens 1M. "
    "See [Your own data](../own-data.md).",
    "validate": "The data gate: how many rows may be invalid or missing before a run stops.",
    "features": "From tables to model inputs.",
    "split": "Events for training, for model selection (validation) and for confirmation (test).",
    "embed": "Vectors of item texts. See [Items and text](../items.md).",
    "teacher": "Architecture and training of the teacher.",
    "knowledge": "The teacher's output that is stored for the students.",
    "distill": "Architecture, losses and training of the students. "
    "See [Teacher, knowledge, students](../students.md).",
    "students": "A mapping from a student's name to its keys. `general` must be there.",
    "compress": "Pruning and quantisation. A step that costs too much quality is skipped.",
    "evaluate": "Quality and latency of every model in every group.",
    "gate": "Thresholds that a candidate must pass. See [The gate](../architecture.md#the-gate).",
    "registry": "The store of releases: a folder or a bucket. See [S3 registry](../s3.md).",
    "serve": "Limits of the HTTP service. None of them changes a model or makes a stage stale.",
    "schedule": "Times of automatic retraining by `make ui`.",
    "tune": "Search for better settings. See [Tune settings](../tune.md).",
}

MEANINGS = {
    "table.file": "CSV or Parquet, in the folder of the source",
    "table.id": "column of ids; null: as in the events, for vectors ingest.item",
    "table.title": "column of titles; null: ingest.item_title",
    "tune.space.NAME.low": "the smallest value",
    "tune.space.NAME.high": "the largest value",
    "tune.space.NAME.log": "sampled on a logarithmic scale",
    "tune.space.NAME.step": "values are low, low + step, …",
    "tune.space.NAME.choices": "a list of values, in place of low and high",
    "students.NAME.init": "initial model: teacher, another student, or null (from scratch)",
    "students.NAME.where": "rule of its users; null: all users",
    "students.NAME.priority": "the matching student with the highest priority serves a user",
    "students.NAME.labels": "soft: trained on the teacher's output and the events; hard: on the "
    "events alone",
    "students.NAME.overrides": "settings of distill that differ for this student",
}
