"""What each block is for, and what the keys inside of a setting mean.

The meaning of a setting itself is its comment in params.yaml.
"""

BLOCKS = {
    "raw": "The demo shop: how large it is and how much of its data is wrong.",
    "ingest": "How your own tables are laid out, for `source: files`. "
    "See [Your own data](../own-data.md).",
    "validate": "The data gate: how much may be wrong or missing before a run stops.",
    "features": "From tables to model inputs.",
    "split": "Which events train, which choose (validation) and which confirm (test).",
    "embed": "How the text of items becomes vectors. See [Items and text](../items.md).",
    "teacher": "The teacher's shape and training.",
    "knowledge": "What is written down of what the teacher knows, for the students.",
    "distill": "The students' shape, losses and training. "
    "See [Teacher, knowledge, students](../students.md).",
    "students": "A mapping from a student's name to its keys. `general` must be there.",
    "compress": "Pruning and quantisation. A step that costs too much quality is not taken.",
    "evaluate": "Quality and latency of every model in every group.",
    "gate": "The thresholds that a candidate has to pass. "
    "See [The gate](../architecture.md#the-gate).",
    "registry": "Where releases live: a folder, or a bucket. See [S3 registry](../s3.md).",
    "serve": "Limits of the HTTP service. None of them changes a model or makes a stage stale.",
    "schedule": "When `make ui` retrains by itself.",
    "tune": "The search for better settings. See [Tune settings](../tune.md).",
}

MEANINGS = {
    "table.file": "under the folder of the source; CSV or Parquet",
    "table.id": "its column of ids; null: as in the events, or for vectors ingest.item",
    "table.title": "its column of titles; null: ingest.item_title",
    "tune.space.NAME.low": "the least value",
    "tune.space.NAME.high": "the largest value",
    "tune.space.NAME.log": "drawn evenly over orders of magnitude",
    "tune.space.NAME.step": "values are low, low + step, …",
    "tune.space.NAME.choices": "a list of values, in place of low and high",
    "students.NAME.init": "the model that it starts from: teacher, another student, or null (from "
    "scratch)",
    "students.NAME.where": "the rule of its users; null: all users",
    "students.NAME.priority": "of several students whose rule matches, the highest serves",
    "students.NAME.labels": "soft: learns from the teacher and the events; hard: from the events "
    "alone",
    "students.NAME.overrides": "settings of distill that this student has of its own",
}
