"""Small pieces of HTML."""

import pytest

from decant.report.markup import Block, Raw, code, join, table, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b & 'c'").markup == "<p>a &lt; b &amp; &#x27;c&#x27;</p>"
    assert tag("p", join([code("<i>"), " x"])).markup == "<p><code>&lt;i&gt;</code> x</p>"
    assert tag("a", Raw("<b>x</b>"), title='"', class_="y", aria_label="z").markup == (
        '<a title="&quot;" class="y" aria-label="z"><b>x</b></a>'
    )


def test_a_table_has_a_caption_and_headings_for_columns_rows_and_groups() -> None:
    rows = [Block("men", [["a", "1"], ["b", "2"]], ["", "released"])]
    markup = table("Sizes", ["name", "size"], rows).markup
    assert "<caption>Sizes</caption>" in markup
    assert markup.count('scope="col"') == 2
    assert markup.count('scope="row"') == 2
    assert '<th scope="rowgroup" colspan="2"><span>men</span></th>' in markup
    assert '<tr class="released">' in markup
    assert 'tabindex="0"' in markup and 'aria-label="Sizes"' in markup


def test_a_row_that_does_not_fit_its_table_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        table("Sizes", ["name", "size"], [["a"]])
