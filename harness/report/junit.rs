//! JUnit XML: one test suite, one test case a scenario.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::outcome::{Outcome, Verdict};
use super::text::failure_text;
use crate::expect::Style;
use crate::timeline::printable;

/// All outcomes as one document. A violated scenario is a failure, one that could not be decided an error.
pub fn junit(outcomes: &[Outcome]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 4);
    // Writing into memory does not fail.
    let _ = document(&mut writer, outcomes);
    let mut text = String::from_utf8(writer.into_inner()).unwrap_or_default();
    text.push('\n');
    text
}

fn document(writer: &mut Writer<Vec<u8>>, outcomes: &[Outcome]) -> io::Result<()> {
    let count = |wanted: &dyn Fn(Verdict) -> bool| {
        outcomes.iter().filter(|outcome| wanted(outcome.verdict)).count().to_string()
    };
    let total = seconds(outcomes.iter().fold(0, |sum, outcome| sum.saturating_add(outcome.wall_us)));
    let failures = count(&|verdict| verdict == Verdict::Violated);
    let errors = count(&|verdict| !matches!(verdict, Verdict::Holds | Verdict::Violated));
    let tests = outcomes.len().to_string();
    let attributes = [
        ("name", "relapse"),
        ("tests", &tests),
        ("skipped", "0"),
        ("failures", &failures),
        ("errors", &errors),
        ("time", &total),
    ];
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").with_attributes(attributes).write_inner_content(|writer| {
        writer
            .create_element("testsuite")
            .with_attributes(attributes)
            .write_inner_content(|writer| outcomes.iter().try_for_each(|outcome| case(writer, outcome)))?;
        Ok(())
    })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, outcome: &Outcome) -> io::Result<()> {
    let (title, path, time) = (printable(&outcome.title), printable(&outcome.scenario), seconds(outcome.wall_us));
    let element = writer.create_element("testcase").with_attributes([
        ("name", title.as_ref()),
        ("classname", path.as_ref()),
        ("time", time.as_str()),
    ]);
    let kind = match outcome.verdict {
        Verdict::Holds => return element.write_empty().map(drop),
        Verdict::Violated => "failure",
        _ => "error",
    };
    element.write_inner_content(|writer| {
        let mut problem = writer.create_element(kind);
        let message = outcome.failures.first().map(|failure| printable(failure.message()));
        if let Some(message) = &message {
            problem = problem.with_attribute(("message", message.as_ref()));
        }
        let story = failure_text(outcome, Style::Plain);
        problem.with_attribute(("type", outcome.verdict.as_str())).write_text_content(BytesText::new(&story))?;
        Ok(())
    })?;
    Ok(())
}

fn seconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros % 1_000_000 / 1000)
}
