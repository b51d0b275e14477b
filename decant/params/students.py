"""The students of params.yaml: groups, variants, and the settings of each student."""

from collections.abc import Mapping

from pydantic import ValidationError

from decant.params.models import Distill, Knowledge, Student, Teacher
from decant.params.renamed import rename_hint
from decant.params.types import GENERAL, POPULAR, TEACHER
from decant.suggest import suggest

# settings of the project or the machine, the same for all students
NOT_OVERRIDDEN = {"min_users", "taste_groups", "threads", "processes", "device", "precision"}
# names of other things in tables of models and groups, and in the graph
RESERVED = (TEACHER, POPULAR, "all", "family", "oracle", "small_groups", "best_traditional", "None")
SHAPE = ("dimension", "layers", "heads", "inputs", "objective", "experts", "successors", "factors")


def groups_of(students: Mapping[str, Student]) -> dict[str, list[str]]:
    """Students by group: first the one that serves it, then its variants.

    Students with the same rule form a group. The one with the highest priority serves; the others
    are variants, trained and evaluated beside it. Students without a rule are for all users, who
    are served by `general`.
    """
    by_rule: dict[str | None, list[str]] = {None: [GENERAL]}
    for name, student in students.items():
        rule = " ".join(student.where.split()) if student.where else None
        if name != GENERAL:
            by_rule.setdefault(rule, []).append(name)
    for rule, names in by_rule.items():
        if rule is not None:
            names.sort(key=lambda name: -students[name].priority)
    return {names[0]: names for names in by_rule.values()}


def settings_of(distill: Distill, name: str, student: Student) -> Distill:
    """The settings of one student: those of `distill` with its overrides.

    Raises:
        ValueError: a setting does not exist, cannot differ between students, or is out of range.
    """
    if not student.overrides:
        return distill
    where = f"students.{name}.overrides"
    allowed = [key for key in Distill.model_fields if key not in NOT_OVERRIDDEN]
    for key in student.overrides:
        if renamed := rename_hint(f"distill.{key}"):
            raise ValueError(f"{where}: {renamed}")
        if key not in allowed:
            hint = suggest(key, sorted(allowed), listed=len(allowed))
            raise ValueError(
                f"{where}: no setting `{key}` that can differ between students; {hint}"
            )
    try:
        return Distill.model_validate({**distill.model_dump(), **student.overrides})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *map(str, first["loc"])])
        raise ValueError(f"`{key}`: {first['msg'].removeprefix('Value error, ')}") from None


def check_family(students: Mapping[str, Student]) -> None:
    """Check names, starts and priorities of the students.

    Raises:
        ValueError: no general student, an invalid name or `init`, or two students of a group with
            the same priority.
    """
    if GENERAL not in students:
        raise ValueError(f"students must contain `{GENERAL}`")
    general = students[GENERAL]
    if general.where is not None or general.init not in (TEACHER, None):
        raise ValueError(
            f"students.{GENERAL} is for all users: init: {TEACHER} or null, and no `where`"
        )
    for name, student in students.items():
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(
                f"invalid name students.{name}: expected letters, digits and _, and not "
                f"`{'`, `'.join(RESERVED[:-1])}` or `{RESERVED[-1]}`"
            )
        _check_init(students, name, student)
    for names in groups_of(students).values():
        _check_priorities(students, names)


def _check_init(students: Mapping[str, Student], name: str, student: Student) -> None:
    """Raise if a student starts from an unknown model, or its starts form a cycle."""
    line, model = [name], student.init
    while model is not None and model != TEACHER:
        if model not in students:
            hint = suggest(model, [TEACHER, *students])
            raise ValueError(f"students.{line[-1]}.init: no model `{model}`; {hint}, or null")
        if model in line:
            cycle = " → ".join([*line, model])
            raise ValueError(f"students.{name}.init forms a cycle: {cycle}")
        line.append(model)
        model = students[model].init


def _check_priorities(students: Mapping[str, Student], names: list[str]) -> None:
    """Raise if two students of a group share the highest priority."""
    first, *others = names
    if first == GENERAL or not others:
        return
    second = others[0]
    if students[first].priority == students[second].priority:
        raise ValueError(
            f"students.{first} and students.{second} have the same rule and priority: give the one "
            "that should serve a higher priority, the other becomes its variant; or change a rule"
        )


def check_settings(
    students: Mapping[str, Student], distill: Distill, teacher: Teacher, knowledge: Knowledge
) -> None:
    """Check the settings of all students against the models they start from or learn from.

    Raises:
        ValueError: they do not match; the message names the student and the setting.
    """
    resolved = {name: settings_of(distill, name, student) for name, student in students.items()}
    for name, settings in resolved.items():
        student = students[name]
        block = f"students.{name}.overrides" if student.overrides else "distill"
        if student.labels == "soft":
            check_losses(block, settings, teacher, knowledge)
        if student.init == TEACHER:
            check_start(block, settings, teacher)
        elif student.init is not None:
            _check_continues(name, settings, student.init, resolved[student.init])


def _check_continues(name: str, settings: Distill, init: str, start: Distill) -> None:
    """Raise if a student's architecture differs from that of the student it starts from."""
    for key in SHAPE:
        ours, theirs = getattr(settings, key), getattr(start, key)
        if ours != theirs:
            raise ValueError(
                f"students.{name} starts from `{init}`, so its {key} must be {theirs}, not {ours}: "
                f"remove it from overrides, or set init: {TEACHER} or null"
            )
    longest, own = start.max_length, settings.max_length
    if longest is not None and (own is None or own > longest):
        raise ValueError(
            f"students.{name} starts from `{init}`, which reads {longest} events: set "
            f"overrides.max_length to {longest} or fewer"
        )


def check_losses(block: str, distill: Distill, teacher: Teacher, knowledge: Knowledge) -> None:
    """Check that every loss has its inputs.

    Raises:
        ValueError: a setting is missing or does not match; the message names it.
    """
    shares = distill.soft_weight + distill.rce_kd_weight + distill.stratified_weight
    if shares > 1 + 1e-9:
        raise ValueError(
            f"{block}: soft_weight, rce_kd_weight and stratified_weight are shares of the loss, "
            f"with a sum of {shares:g}: lower it to at most 1"
        )
    cloze_from_causal = distill.objective == "masked" and teacher.objective == "next"
    if cloze_from_causal and (shares or distill.states_weight):
        raise ValueError(
            f"{block}.objective masked needs teacher.objective: masked; a teacher with objective "
            "next cannot predict a user's first event"
        )
    if distill.states_weight and not knowledge.states:
        raise ValueError(f"{block}.states_weight needs knowledge.states: true")
    if distill.attention_relation_weight:
        _check_relations(block, distill, teacher, knowledge)


def _check_relations(block: str, distill: Distill, teacher: Teacher, knowledge: Knowledge) -> None:
    if not knowledge.relations:
        raise ValueError(f"{block}.attention_relation_weight needs knowledge.relations: true")
    for owner, settings in ((TEACHER, teacher), (block, distill)):
        if settings.objective != "next":
            raise ValueError(f"{block}.attention_relation_weight needs {owner}.objective: next")
        if settings.dimension % distill.relation_heads:
            raise ValueError(
                f"{block}.relation_heads {distill.relation_heads} does not divide "
                f"{owner}.dimension {settings.dimension}"
            )


def check_start(block: str, distill: Distill, teacher: Teacher) -> None:
    """Check that a student can start from the teacher's layers.

    Raises:
        ValueError: the layers do not exist, or the architectures differ.
    """
    layers = distill.init_layers
    if not layers:
        return
    if len(layers) != distill.layers or max(layers) >= teacher.layers:
        raise ValueError(
            f"invalid {block}.init_layers {layers}: expected a layer of the teacher, from 0 to "
            f"{teacher.layers - 1}, for each of the student's {distill.layers}"
        )
    for name in ("dimension", "heads", "objective"):
        theirs, ours = getattr(teacher, name), getattr(distill, name)
        if theirs != ours:
            raise ValueError(
                f"{block}.init_layers needs teacher.{name} ({theirs}) and {block}.{name} "
                f"({ours}) to be the same"
            )


def lineage(students: Mapping[str, Student], name: str) -> list[str]:
    """A student and its ancestors, those it starts from."""
    line = [name]
    while (init := students[line[-1]].init) in students:
        line.append(str(init))
    return line


def in_waves(students: Mapping[str, Student]) -> list[list[str]]:
    """Training order: the students of each wave start from models of earlier waves."""
    waves: list[list[str]] = []
    ready = {TEACHER, None, *(s.init for s in students.values() if s.init not in students)}
    waiting = dict(students)
    while waiting:
        wave = [name for name, student in waiting.items() if student.init in ready]
        assert wave, "`check_family` refuses cycles"
        waves.append(wave)
        ready.update(wave)
        waiting = {name: student for name, student in waiting.items() if name not in wave}
    return waves


def folded_students(
    students: Mapping[str, Student], users: Mapping[str, int], min_users: int
) -> list[str]:
    """The students merged into general: those of a group with fewer than `min_users` users, and
    those that start from a merged student.

    Args:
        users: number of users of each student.
    """
    folded: list[str] = []
    for wave in in_waves(students):
        for name in wave:
            of_group = students[name].where is not None
            if (of_group and users[name] < min_users) or students[name].init in folded:
                folded.append(name)
    return folded
