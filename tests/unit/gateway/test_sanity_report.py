"""How the report of csi-sanity is read."""

from pathlib import Path

from sanity import csi_sanity

REPORT = """<testsuites><testsuite>
  <testcase name="[BeforeSuite]" status="passed"/>
  <testcase name="[It] Node should work" status="passed"/>
  <testcase name="[It] Node should fail" status="failed"><failure message="m">expected 3</failure></testcase>
  <testcase name="[It] Node should end" status="timedout"><error message="m">too long</error></testcase>
  <testcase name="[It] Clone should work" status="skipped">
    <skipped message="skipped - Cloning not supported"/>
  </testcase>
  <testcase name="[It] out of focus" status="skipped"><skipped message="skipped"/></testcase>
  <testcase name="[It] not written yet" status="pending"><skipped message="pending"/></testcase>
</testsuite></testsuites>"""


def outcome(tmp_path: Path, report: str = REPORT) -> csi_sanity.Outcome:
    path = tmp_path / "report.xml"
    path.write_text(report)
    return csi_sanity.read(path)


def test_each_spec_is_found_by_how_it_ended(tmp_path):
    found = outcome(tmp_path)

    assert found.passed == {"Node should work"}
    assert found.failed == {"Node should fail": "expected 3", "Node should end": "too long"}
    assert found.skipped == {"Clone should work": "Cloning not supported"}


def test_a_failure_before_the_first_spec_is_a_failure(tmp_path):
    report = '<t><testcase name="[BeforeSuite]" status="failed"><failure>no driver</failure></testcase></t>'

    assert outcome(tmp_path, report).failed == {"[BeforeSuite]": "no driver"}


def test_every_expected_skip_has_a_reason():
    skips = csi_sanity.expected_skips()

    assert skips
    assert all(skips.values())
