"""What a setting means where params.yaml has no comment on it, and what each block is for.

A comment in params.yaml takes the place of an entry here. `training.NAME` is the setting NAME of
both `teacher` and `distill`.
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
    "seed": "seed of everything that is random in training, evaluation and sampling",
    "raw.users": "users of the demo shop",
    "raw.items": "items of the demo shop",
    "raw.seed": "seed of the demo shop's data",
    "ingest.user": "column of user ids in the table of events",
    "ingest.item": "column of item ids in the table of events",
    "ingest.behaviour_default": "name of the behaviour of every event",
    "ingest.rating": "column of ratings; null: there are none",
    "ingest.item_title": "column of titles in the table of items",
    "validate.min_events": "fewer accepted events stop the run",
    "validate.min_users": "fewer users stop the run",
    "validate.min_items": "fewer items stop the run",
    "features.attributes": "columns of the table of users that models and rules may read",
    "features.interest_tags": "tags that each user gets, for the profiles of groups",
    "embed.dimension": "length of a hashed text vector",
    "training.dimension": "width of the model",
    "training.layers": "transformer layers",
    "training.heads": "attention heads; they divide the dimension",
    "training.dropout": "share of units that are dropped in training",
    "training.inputs": "what an event tells the model: item, text, behaviour, rating, gap (time "
    "since the event before), attributes, and names of ingest.vectors",
    "training.epochs": "passes over the training events, at most",
    "training.batch_size": "sequences in a batch",
    "training.learning_rate": "peak learning rate of AdamW",
    "training.weight_decay": "weight decay of AdamW",
    "distill.temperature": "softens the probabilities that the soft-label loss compares",
    "distill.segment_learning_rate": "peak learning rate of a segment's student, and after pruning",
    "distill.segment_epochs": "passes over the events of a segment, at most",
    "compress.recover_epochs": "epochs of training after pruning",
    "evaluate.k": "length of the lists that are judged: NDCG@k, HR@k",
    "evaluate.latency_requests": "requests whose time is measured for each model",
    "registry.prefix": "start of every key in the bucket",
    "schedule.cron": "minute, hour, day, month, weekday",
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
