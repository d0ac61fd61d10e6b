//! A session of `systemctl` and `journalctl` as it was typed at real systemd 252, typed again at a console: every load
//! state, every verb, and the mistakes (`fixtures/systemd/session_252.json`).

use regex::Regex;
use relapse::Scenario;

use crate::lockstep::options;
use crate::unit::{report, table, text};

/// Where we knowingly say something else, and why.
const OURS: &[(&str, &str)] = &[
    ("systemctl edit ok", "refused with a reason: there is no editor"),
    ("systemctl edit --full nosuch", "refused with a reason: there is no editor"),
    ("systemctl help nosuch", "refused with a reason: there are no manual pages"),
    ("systemctl list-dependencies ok", "it shows the distribution's units"),
    ("systemctl revert ok", "refused with a reason"),
    (
        "systemctl status ok failing nosuch",
        "time stands still while it is typed, so the lines of an earlier run are as new",
    ),
    ("journalctl -b 5", "the recording machine kept no journal on disk, and then there are no boots to choose from"),
];

/// What differs from machine to machine: PIDs, times, and what the kernel counts.
fn plain(output: &str) -> String {
    let rules = [
        (r"(?m)UTC; (?:.* ago|now)$", "UTC; <AGO>"),
        (r"\w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; <AGO>", "<TIME>"),
        (r"(?m)^\w{3} \d\d \d\d:\d\d:\d\d ", "<TIME> "),
        (r"\[\d+\]", "[PID]"),
        (r"(PID: |Process: |─)\d+", "${1}PID"),
        (r"(?m)^ +(?:Tasks|Memory|CPU|Duration):.*\n", ""),
        (r"CGroup:.*", "CGroup"),
    ];
    rules.iter().fold(output.to_owned(), |text, (what, with)| {
        Regex::new(what).expect("a pattern").replace_all(&text, *with).into_owned()
    })
}

#[test]
fn a_recorded_session_is_answered_as_systemd_answered_it() {
    let table = table("session_252");
    let cases = table["cases"].as_array().expect("cases");
    let mut document = "# Session\n\n```toml scenario\nkind = \"behaviour\"\nclock = 2026-11-23T16:00:00\n\
                        directory = \"/home/op\"\n```\n\n"
        .to_owned();
    for (name, unit) in table["units"].as_object().expect("units") {
        let unit = unit.as_str().expect("text");
        if !unit.is_empty() {
            document.push_str(&format!("```ini unit={name}\n{unit}```\n\n"));
        }
    }
    // Output goes to the run's own directory and is read back at the end: a process less for each command.
    document.push_str("```sh file=/home/op/session\n");
    for case in cases {
        let command = text(case, "command");
        document.push_str(&format!(
            "{command} >>out 2>>err </dev/null; printf '%s~;' $? >>code; printf '~;' >>out; printf '~;' >>err\n"
        ));
    }
    document.push_str(
        "cat out; printf '~#'; cat err; printf '~#'; cat code\n```\n\n```console\n\
         $ : > /etc/systemd/system/empty.service\n$ systemctl daemon-reload\n$ sh session\n...\n```\n\n\
         ```expect\nalways port 9 owner = none for 1s\n```\n",
    );
    let scenario = Scenario::parse("session.md", &document)
        .unwrap_or_else(|error| panic!("{}", error.render(relapse::expect::Style::Plain)));
    let run = scenario.record(&options()).expect("the run begins");
    let shown = relapse::report::text(&run.outcome, relapse::expect::Style::Plain);
    assert_eq!(run.outcome.verdict, relapse::Verdict::Holds, "{shown}");
    let answers = run.outputs.last().map(|output| output.text.clone()).unwrap_or_default();
    let [out, err, code] = answers.split("~#").collect::<Vec<_>>()[..] else { panic!("{answers}") };
    let [out, err, code] = [out, err, code].map(|all| all.split("~;").collect::<Vec<_>>());
    assert_eq!(code.len(), cases.len() + 1, "each ends with a mark");
    let mut failures = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let command = text(case, "command");
        let (stdout, stderr, code) = (out[index], err[index], code[index]);
        let wanted = (plain(text(case, "stdout")), plain(text(case, "stderr")), case["code"].to_string());
        let got = (plain(stdout), plain(stderr), code.to_owned());
        let known = OURS.iter().find(|(ours, _)| *ours == command);
        match known {
            Some((_, reason)) if got == wanted => {
                failures.push(format!("{command}: no longer differs, but was listed since {reason}"));
            }
            None if got != wanted => failures.push(format!("{command}:\n--- systemd\n{wanted:#?}\n--- we\n{got:#?}")),
            _ => {}
        }
    }
    assert!(OURS.iter().all(|(ours, _)| cases.iter().any(|case| text(case, "command") == *ours)));
    report(&failures, cases.len());
}
