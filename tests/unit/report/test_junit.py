"""JUnit XML in the dialects that are met, and in ways that nobody should write it."""

import itertools

import pytest

from cupel.core import results
from cupel.core.results import Outcome
from cupel.report.results import junit
from unit.report import reading

PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">\
<testsuite name="pytest" errors="1" failures="1" skipped="2" tests="5" time="0.08">\
<testcase classname="tests.test_x.TestC" name="test_p[1]" time="0.001" />\
<testcase classname="tests.test_x" name="test_bad" time="0.5">\
<failure message="AssertionError: boom&#10;assert 2 == 1">&gt;   assert 2 == 1
E   AssertionError

tests/test_x.py:4: AssertionError</failure></testcase>\
<testcase classname="tests.test_x" name="test_xf" time="0.0">\
<skipped type="pytest.xfail" message="later" /></testcase>\
<testcase classname="tests.test_x" name="test_s">\
<skipped type="pytest.skip" message="not here">tests/test_x.py:9: not here</skipped></testcase>\
<testcase classname="tests.test_x" name="test_setup">\
<error message="failed on setup with &quot;RuntimeError&quot;">tests/test_x.py:16: RuntimeError\
</error></testcase></testsuite></testsuites>"""

SUREFIRE = """<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:noNamespaceSchemaLocation="surefire-test-report.xsd" name="com.x.FooTest" time="1,234.5">
  <properties><property name="java.version" value="17"/></properties>
  <testcase name="adds" classname="com.x.FooTest" time="1,002.25"/>
  <testcase name="again" classname="com.x.FooTest" time="0.1">
    <flakyFailure message="once" type="E"><stackTrace>x</stackTrace>\
<system-out>noise</system-out></flakyFailure>
  </testcase>
  <testcase name="never" classname="com.x.FooTest">
    <failure message="first" type="E">at org.junit.Assert.fail(Assert.java:88)
at com.x.FooTest.never(FooTest.java:12)</failure>
    <rerunFailure message="second" type="E">more</rerunFailure>
  </testcase>
</testsuite>"""

PHPUNIT = """<testsuites><testsuite name="/p/phpunit.xml"><testsuite name="FooTest"
  file="/build/src/tests/FooTest.php"><testcase name="testA" class="FooTest" classname="FooTest"
  file="/build/src/tests/FooTest.php" line="7" assertions="1" time="0.01"/>
  <testsuite name="FooTest::testB"><testcase name="testB with data set #0" line="9">
  <failure type="E">FooTest::testB
Failed asserting that 1 is 2.

/build/src/tests/FooTest.php:11</failure></testcase></testsuite></testsuite></testsuite>
</testsuites>"""

CTEST = """<testsuite name="Linux-c++"><testcase name="unit" classname="unit" status="fail">
<failure message="Failed"/><system-out>src/x.cc:12: Failure</system-out></testcase>
<testcase name="off" status="notrun"/></testsuite>"""

GOTESTSUM = """<testsuites><testsuite name="example.com/x" tests="2">
<testcase classname="example.com/x" name="TestA" time="0.010"><failure message="Failed" type="">\
=== RUN   TestA
    x_test.go:12: got 1
--- FAIL: TestA</failure></testcase>
<testcase classname="example.com/x" name="TestA" time="0.010"/></testsuite></testsuites>"""

NODE = """<testsuites><testsuite name="top"><testcase name="inner" classname="test">
<failure type="testCodeFailure" message="1 == 2">at Test (file:///build/src/n.mjs:2:105)
at async Test.run (node:internal/x:796:25)</failure></testcase></testsuite>
<testcase name="todo" classname="test"><skipped type="todo" message="some day"/>
<failure message="x">at x</failure></testcase></testsuites>"""


def test_what_pytest_writes() -> None:
    found, notices = reading.read(PYTEST)
    assert notices == []
    bad, setup, xfail, skipped, good = found
    assert (bad.id, bad.outcome) == ("tests.test_x::test_bad", Outcome.FAILED)
    assert bad.message == "AssertionError: boom assert 2 == 1"
    assert (bad.place, bad.seconds) == ("tests/test_x.py:4", 0.5)
    assert bad.text.startswith(">   assert 2 == 1\nE ")
    assert (setup.outcome, setup.place) == (Outcome.ERROR, "tests/test_x.py:16")
    assert (xfail.outcome, xfail.message) == (Outcome.SKIPPED, "expected to fail: later")
    assert (skipped.message, skipped.text) == ("not here", "")
    assert (good.id, good.parameters) == ("tests.test_x.TestC::test_p[1]", "1")


def test_what_surefire_writes_with_reruns() -> None:
    never, again, adds = reading.read(SUREFIRE)[0]
    assert (never.outcome, never.message) == (Outcome.FAILED, "first")
    assert never.place == "FooTest.java:12"
    assert never.text.endswith("more")
    assert (again.outcome, again.flaky, again.message) == (Outcome.PASSED, True, "once")
    assert adds.seconds == 1002.25


def test_what_phpunit_writes_in_nested_suites() -> None:
    bad, good = reading.read(PHPUNIT)[0]
    assert (bad.id, bad.place) == ("FooTest::testB::testB with data set #0", "tests/FooTest.php:11")
    assert (good.id, good.place) == ("FooTest::testA", "tests/FooTest.php:7")


def test_what_ctest_writes_to_its_output() -> None:
    bad, off = reading.read(CTEST)[0]
    assert (bad.text, bad.place) == ("src/x.cc:12: Failure", "src/x.cc:12")
    assert (off.outcome, off.suite) == (Outcome.SKIPPED, "Linux-c++")


def test_a_test_that_gotestsum_ran_again_is_flaky() -> None:
    [only] = reading.read(GOTESTSUM)[0]
    assert (only.outcome, only.flaky, only.place) == (Outcome.PASSED, True, "x_test.go:12")


def test_what_node_writes() -> None:
    bad, todo = reading.read(NODE)[0]
    assert (bad.id, bad.place) == ("top::inner", "n.mjs:2")
    assert (todo.outcome, todo.message) == (Outcome.SKIPPED, "to do: some day")


JEST = """<testsuites name="jest tests"><testsuite name="math"><testcase classname="math breaks"
 name="math breaks" time="0.002"><failure>Error: expect(received).toBe(expected)

Expected: 3
    at Object.toBe (/build/src/sum.test.js:1:106)
    at call (/build/src/node_modules/jest-circus/x.js:1834:28)</failure></testcase></testsuite>
<testcase classname="math breaks" name="math breaks"/></testsuites>"""


def test_what_jest_writes() -> None:
    bad, other = reading.read(JEST)[0]
    assert (bad.id, bad.place) == ("math::math breaks", "sum.test.js:1")
    assert bad.message == "Error: expect(received).toBe(expected)"
    assert other.id == "math breaks::math breaks"


def test_a_suite_that_could_not_be_set_up_is_an_error_of_its_own() -> None:
    text = (
        '<testsuite name="s"><error message="no database">x</error><testcase name="a"/></testsuite>'
    )
    assert reading.lines(text) == ["error s::(suite) no database", "passed s::a"]


def test_missing_attributes_and_unknown_elements_do_no_harm() -> None:
    case = "<testcase><nested><failure/></nested></testcase>"
    text = f'<testsuite><what/>{case}<testcase classname="C"/></testsuite>'
    assert reading.lines(text) == ["passed (no name)", "passed C::C"]


@pytest.mark.parametrize("time", ["", "NaN", "inf", "-1", "1e400", "12:30", "½", "9" * 50])
def test_a_time_that_is_none_is_not_known(time: str) -> None:
    [only] = reading.read(f'<testcase name="a" time="{time}"/>')[0]
    assert only.seconds is None


def test_characters_that_xml_forbids_are_read_past() -> None:
    text = '<testcase name="a&#x1B;b\x01"><failure>&#27;[31mred&#xD800;</failure></testcase>'
    [only] = reading.read(text)[0]
    assert only.name == "a\ufffdb\ufffd"
    assert "red" in only.text


def test_a_reference_may_lie_across_two_pieces() -> None:
    for pad in range(20):
        head = '<testsuite><testcase name="'
        fill = "x" * (4096 - len(head) - pad)
        [only] = reading.read(f'{head}{fill}&#x00001b;&amp;"/></testsuite>')[0]
        assert only.name.startswith("xxx")


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "utf-8"), ("utf-16", "UTF-16"), ("latin-1", "ISO-8859-1")],
)
def test_encodings_are_what_the_document_says(encoding: str, declared: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?><testcase name="naïve"/>'
    assert reading.lines(text.encode(encoding)) == ["passed naïve"]


def test_broken_utf8_is_replaced() -> None:
    assert reading.lines(b'<testcase name="a\xff\xfe"/>') == ["passed a\ufffd\ufffd"]


LAUGHS = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;">]><testsuite><testcase name="&c;"/></testsuite>"""
OUTSIDE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><testcase name="&f;"/>'


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE], ids=["laughs", "outside"])
def test_entities_are_refused_with_the_document_type(text: str) -> None:
    found, [notice] = reading.read(text)
    assert found == []
    assert "document type declaration" in notice


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<testsuite>" * 101, "line 1: its elements are nested too deeply"),
        (f'<testsuite><testcase name="{"x" * (2 << 20)}', "a tag or comment is too long"),
        (f"<testsuite><!--{'x' * (2 << 20)}", "a tag or comment is too long"),
        ("<testsuite>" + "".join(f"<e{n}/>" for n in range(99_999)), "too many different names"),
        ("<testsuite><testcase name='a'/>", "line 1: it ends too early; 1 results of it were read"),
        ("<testsuite>\n<testcase name='a'/><b></testsuite>", "line 2: it is not XML: mismatched"),
        ("<testsuite>&undefined;</testsuite>", "it is not XML: undefined entity"),
    ],
    ids=["deep", "wide", "comment", "names", "truncated", "mismatched", "entity"],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, said: str) -> None:
    _, [notice] = reading.read(text, name="r.xml")
    assert notice.startswith("r.xml: ")
    assert said in notice


def test_every_beginning_of_a_file_gives_the_results_that_are_whole_in_it() -> None:
    for end in range(0, len(PYTEST), 7):
        found, _ = reading.read(PYTEST[:end])
        assert len(found) == PYTEST[:end].count("</testcase>") + PYTEST[:end].count('001" />')


def test_no_text_is_kept_past_its_bound() -> None:
    text = "".join(f"{n}\n" for n in range(100_000))
    [only] = reading.read(f'<testcase name="a"><failure>begin{text}end</failure></testcase>')[0]
    assert len(only.text) <= results.LONGEST_TEXT
    assert only.text.startswith("begin")
    assert only.text.endswith("end")
    assert "characters left out" in only.text


def test_a_large_file_is_read_as_it_comes() -> None:
    """Results come while the file is read, so its size is not held in memory."""
    one = '<testcase name="a"><system-out>' + "x" * 200_000 + "</system-out></testcase>"
    source = reading.source("<testsuite>" + one * 50, limit=5_000_000)
    first = list(itertools.islice(junit.read(source), 3))
    assert len(first) == 3
    assert not source.is_cut
