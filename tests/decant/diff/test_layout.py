"""Tables as aligned text and as Markdown."""

from decant.diff.layout import Section, as_markdown, as_text

TABLE = Section("Costs", ("model", "size"), [["teacher", "9 kB"], ["a", "10 MB"]], "lr", ["a note"])


def test_columns_are_aligned_under_the_title() -> None:
    assert as_text([TABLE]).splitlines() == [
        "Costs       size",
        "  teacher   9 kB",
        "  a        10 MB",
        "  a note",
    ]


def test_markdown_has_a_table_and_a_list() -> None:
    assert as_markdown([TABLE]).splitlines() == [
        "### Costs",
        "",
        "| model | size |",
        "|---|--:|",
        "| teacher | 9 kB |",
        "| a | 10 MB |",
        "",
        "- a note",
    ]


def test_sections_of_lines_alone_have_no_table() -> None:
    sections = [Section("Gate", lines=["passed"]), Section("Notes", lines=["one"])]
    assert as_text(sections) == "Gate\n  passed\n\nNotes\n  one"
    assert as_markdown(sections) == "### Gate\n\n- passed\n\n### Notes\n\n- one"


def test_what_a_terminal_or_a_table_would_obey_is_shown_as_text() -> None:
    section = Section("Title", ("a", "b"), [["x|y", "\x1b[31mred"]], "ll", ["*<b>*"])
    assert "x|y  ?[31mred" in as_text([section])
    page = as_markdown([section])
    assert r"| x\|y | ?[31mred |" in page
    assert r"- \*\<b>\*" in page
