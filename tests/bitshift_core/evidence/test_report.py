"""A gate's report must fit a termination message, whatever it holds."""

from hypothesis import given
from hypothesis import strategies as st

from bitshift_core.evidence.report import GateReport, LoadReport, SuiteReport, Verdict


def a_report(message: str, suites: int, words: str) -> GateReport:
    reports = tuple(SuiteReport(name=f"suite-{n}", verdict=Verdict.FAILED, message=words) for n in range(suites))
    return GateReport(
        gate="quality", revision="chat-q8-12345678", verdict=Verdict.FAILED, message=message, suites=reports
    )


@given(st.text(max_size=3000), st.integers(0, 16), st.text(max_size=2000))
def test_a_report_always_fits_and_keeps_its_verdict(message, suites, words):
    text = a_report(message, suites, words).fit_into(3500).to_json()

    assert len(text.encode()) <= 3500
    assert GateReport.model_validate_json(text).verdict is Verdict.FAILED


def test_suites_sentences_go_before_suites_do():
    fitted = a_report("3 of 16 passed", 16, "x" * 400).fit_into(3500)

    assert len(fitted.suites) == 16
    assert fitted.message == "3 of 16 passed"


def test_a_report_that_fits_is_left_alone():
    report = GateReport(gate="load", revision="r", verdict=Verdict.PASSED, message="fine", load=LoadReport())

    assert report.fit_into() == report
