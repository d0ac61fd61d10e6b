//! JUnit XML: one test suite, one test case a scenario.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::outcome::{Outcome, Verdict};
use super::text::failure_text;
use crate::expect::Style;

/// All outcomes as one document. A violated scenario is a failure, one that could not be decided an error.
pub fn junit(outcomes: &[Outcome]) -> String {
    let mut suite = TestSuite::new("relapse");
    let mut total = Duration::ZERO;
    for outcome in outcomes {
        let time = Duration::from_micros(outcome.wall_us);
        total = total.saturating_add(time);
        let mut case = TestCase::new(outcome.title.as_str(), status(outcome));
        case.set_classname(outcome.scenario.as_str()).set_time(time);
        suite.add_test_case(case);
    }
    suite.set_time(total);
    let mut report = Report::new("relapse");
    report.set_time(total);
    report.add_test_suite(suite);
    report.to_string().unwrap_or_default()
}

fn status(outcome: &Outcome) -> TestCaseStatus {
    let kind = match outcome.verdict {
        Verdict::Holds => return TestCaseStatus::success(),
        Verdict::Violated => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(outcome.verdict.as_str());
    if let Some(failure) = outcome.failures.first() {
        status.set_message(failure.message());
    }
    status.set_description(failure_text(outcome, Style::Plain));
    status
}
