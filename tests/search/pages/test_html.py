"""HTML as text: what is shown, what is not, and what hostile pages cost."""

import time

import pytest

from saccade.search.pages import html
from saccade.search.pages.html import MAX_TAGS, readable

PAGE = """<!doctype html><html><head><title> Lamps &amp; more
</title><style>p {color: red}</style><script>if (a<b) {"</p>"} // no</script></head>
<body><h1>Lamps</h1><p>See <a href="/a?x=1&amp;y=2">all <b>lamps</b></a>, and <a href='#x'>here</a>
or <a href="javascript:alert(1)">there</a>.<p>Second<br>line &#65; &lt;b&gt; 1 < 2 &#99999999999;
<ul><li>one<li>two<ol><li>first</li><li>second</ol></ul>
<table><tr><th>Year<th>Lamp<tr><td>1822<td>Fresnel</table>
<!-- no --><noscript>no</noscript><template>no</template><svg><text>no</text></svg>
<div hidden>no <div>no</div> no</div><p hidden>no<p>yes
<span style="display: none">no</span>, too</p>
<div aria-hidden=true>no</div><pre>  kept
    as it is</pre><img alt="A lamp" src=x><div><span hidden>no</div>the end</body>"""

TEXT = """# Lamps

See [all lamps](https://example.org/a?x=1&y=2), and here or there.

Second
line A <b> 1 < 2 \ufffd

- one
- two
  1. first
  2. second

Year | Lamp
1822 | Fresnel

yes , too

  kept
    as it is

[image: A lamp]
the end"""


def test_a_page_reads_like_a_page() -> None:
    read = readable(PAGE, "https://example.org/deep/place.html")
    assert read.text == TEXT
    assert read.title == "Lamps & more"
    assert not read.cut


HOSTILE = ["<a ", "<!--", "</", "</3", "<![CDATA[", "&", "&#", "&#9", "<", '<a ="', "<a ='",
           "<script>", "<script></scrip", "<title>", "<b>", "</b>", "<b></b>", "<b></a>",
           "<a href=x>y", " ", "<div hidden>", "<p style=none x=", "<p>", "<ul><li>", "<a href",
           "<td>", "\n", "<pre>\n", "]]>", "<?", "=\"", "<a\n"]  # fmt: skip


def test_no_page_costs_more_than_its_length() -> None:
    """The parser of Python 3.11 takes 72 s for 60 KB of the first of these."""
    for text in HOSTILE:
        page = text * (60_000 // len(text))
        begun = time.thread_time()
        readable(page, "http://a.example/")
        assert time.thread_time() - begun < 1.5, text


def test_tags_and_levels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_TAGS", 10)
    read = readable("<p>begin" + "<br>" * 10 + "never")
    assert (read.text, read.cut) == ("begin", True)
    monkeypatch.setattr(html, "MAX_TAGS", MAX_TAGS)
    read = readable("begin" + "<div>" * 5000 + "never")
    assert (read.text, read.cut) == ("begin", True)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a <b never ends", "a"), ("a <!-- never ends", "a"), ("a <script> never ends", "a"),
        ("<!-->a<!--->b<!--x--!>c", "abc"), ("a</3>b</>c", "abc"), ("<p title='a > b'>c", "c"),
        ("<a href=/x><p>not on one line<p>of text</a>", "not on one line\n\nof text"),
        ('<a href="/a b(c)">d</a>', "[d](http://a.example/a%20b%28c%29)"),
        ('<a href="http://[">d</a>', "d"), ("<a href=/1>x<a href=/2>y</a>",
                                           "[x](http://a.example/1)[y](http://a.example/2)"),
        ("<SCRIPT>no</ScRiPt >yes", "yes"), ("<p hidden>no</p>yes", "yes"), ("<p/>a", "a"),
        ("<ol></ul><li>a</ol><li>b", "1. a\n\n- b"), ("<title>a</title><title>b</title>c", "c"),
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_read_as_browsers_do(page: str, text: str) -> None:
    assert readable(page, "http://a.example/").text == text
