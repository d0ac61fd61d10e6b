//! The time-span language against what systemd-analyze answered (`fixtures/systemd/time_span.json`).

use relapse::time::Span;

#[test]
fn every_recorded_time_span_parses_and_prints_as_systemd_does() {
    let table: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/systemd/time_span.json")).expect("the table is JSON");
    let cases = table["cases"].as_array().expect("a list of cases");
    assert!(cases.len() >= 60, "the table has its rows");
    let mut wrong = Vec::new();
    for case in cases {
        let input = case["input"].as_str().expect("input");
        let want = case["ok"].as_bool().expect("ok").then(|| {
            let span = case["usec"].as_u64().map_or(Span::INFINITY, Span::from_micros);
            (span, case["human"].as_str().expect("human").to_owned())
        });
        let got = Span::parse(input).ok().map(|span| (span, span.to_string()));
        if got != want {
            wrong.push(format!("{input:?}: systemd says {want:?}, we say {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_sign_is_what_strtoll_makes_of_it() {
    use relapse::time::SpanError;
    for (text, wanted) in [
        ("5s +3s", Ok(8)),
        ("5s+3s", Ok(8)),
        ("5 +3", Ok(8)),
        ("5+3", Err(SpanError::Unit)),
        ("+-5", Err(SpanError::Number)),
        ("++5", Err(SpanError::Number)),
        ("+ 5", Err(SpanError::Number)),
        ("-5s", Err(SpanError::Negative)),
        ("-0", Err(SpanError::Negative)),
        ("5s -3s", Err(SpanError::Negative)),
        ("1h-1m", Err(SpanError::Negative)),
        ("5 -", Err(SpanError::Negative)),
        (".5-3", Err(SpanError::Unit)),
        ("1 .5", Ok(1)),
    ] {
        assert_eq!(Span::parse(text).map(|span| span.as_micros() / 1_000_000), wanted, "{text:?}");
    }
}
