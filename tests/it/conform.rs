//! The embedded manager beside a real systemd: how cases are made, played, compared and shown. Where no systemd can be
//! booted the last test says why and passes; `RELAPSE_REQUIRE=systemd` makes it fail.

use std::collections::{BTreeMap, BTreeSet};

use assert_cmd::Command;
use relapse::Options;
use relapse::conform::agree::agree;
use relapse::conform::compare::compare;
use relapse::conform::session::{Differs, profile};
use relapse::conform::{Answer, Case, Ended, Kind, Message, Times, embedded, generate, known, show, table};
use relapse::time::Span;
use relapse::unit::Profile;
use rstest::rstest;

fn relapse() -> Command {
    Command::new(env!("CARGO_BIN_EXE_relapse"))
}

// ---- cases

#[test]
fn the_same_seed_makes_the_same_cases_whichever_others_are_made() {
    let some: Vec<Case> = generate::cases(7).take(60).collect();
    for (number, case) in (0..).zip(&some) {
        assert_eq!(generate::case(7, number), *case);
        assert_eq!(generate::named(&case.id).as_ref(), Some(case));
        let other = generate::case(8, number);
        assert_ne!((&other.unit, &other.actions), (&case.unit, &case.actions), "{}", case.id);
    }
    for wrong in ["", "g1", "gn1", "g1n1", "g1n0001x", "restart000"] {
        assert_eq!(generate::named(wrong), None, "{wrong}");
    }
}

#[test]
fn every_case_is_well_formed_and_has_a_name_of_its_own() {
    let made: Vec<Case> = generate::cases(1).take(340).chain(table::cases()).collect();
    let mut ids = BTreeSet::new();
    for case in &made {
        let id = &case.id;
        assert!(ids.insert(id), "{id} twice");
        assert_eq!(case.actions[0].t, Span::ZERO, "{id}");
        assert!(case.actions.is_sorted_by_key(|action| action.t), "{id}");
        let last = case.actions.last().expect("an action");
        assert!(last.line().starts_with("systemctl show "), "{id} ends with `{}`", last.line());
        assert!(case.unit.contains("ExecStart="), "{id}");
        let json = serde_json::to_string(case).expect("JSON");
        assert_eq!(serde_json::from_str::<Case>(&json).expect("a case"), *case, "{id}");
    }
    let families: BTreeSet<&str> = made.iter().map(|case| case.family.as_str()).collect();
    assert_eq!(families.len(), 17 + 4, "{families:?}");
}

#[test]
fn commands_are_entered_where_no_timer_and_no_program_is() {
    for case in generate::cases(3).take(200) {
        for action in &case.actions[1..] {
            assert_eq!(action.t.as_micros() / 1000 % 250, 235, "{}: {}", case.id, action.line());
        }
    }
}

#[test]
fn every_row_of_the_restart_matrix_is_a_case() {
    let matrix: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/systemd/restart_matrix.json")).expect("JSON");
    for name in matrix["rows"].as_object().expect("rows").keys() {
        assert!(table::cause(name).is_some(), "{name}");
    }
    assert_eq!(table::cases().filter(|case| case.family == "restart").count(), 21 * 7);
    assert!(table::named("restart000").is_some() && table::named("restart999").is_none());
}

#[test]
fn one_case_of_every_family_comes_to_its_end_here() {
    for case in generate::cases(1).take(17) {
        let played = embedded::play(&case, Profile::V252, None, &Options::default());
        let answer = played.unwrap_or_else(|fault| panic!("{}: {fault}", case.id));
        let open = answer
            .commands
            .iter()
            .zip(&case.actions)
            .find(|(command, action)| command.rc.is_none() && !action.line().is_empty());
        assert!(open.is_none(), "{}: {open:?}", case.id);
        assert_eq!(compare(&case, &answer, &answer), [], "{}", case.id);
    }
}

// ---- answers

fn one_case() -> Case {
    let json = r#"{"id":"a","family":"x","unit":"[Service]\n","dropins":{},"prog":"",
        "actions":[{"t":0,"cmd":"systemctl start a"},{"t":0.5,"write":"a.service.d/x.conf","text":""}]}"#;
    serde_json::from_str(json).expect("a case")
}

fn one_answer() -> Answer {
    let message = |msg: &str, at| Message { msg: msg.to_owned(), prio: 6, t_ms: Times::at(at), ..Message::default() };
    let ended = Ended { rc: Some(0), out: "active\n".to_owned(), end_ms: Some(Times::at(20)), ..Ended::default() };
    Answer {
        messages: vec![message("Started a.", 10), message("Stopped a.", 500)],
        child_messages: vec![message("Failed to execute", 0)],
        commands: vec![ended, Ended::default()],
        runs: 1,
        order: None,
    }
}

#[rstest]
#[case::nothing(|_: &mut Answer| {}, None)]
#[case::words(|answer: &mut Answer| answer.messages[1].msg.push('!'), Some(Kind::Message))]
#[case::priority(|answer: &mut Answer| answer.messages[0].prio = 4, Some(Kind::Message))]
#[case::invocation(|answer: &mut Answer| answer.messages[1].inv = 2, Some(Kind::Message))]
#[case::a_field(|answer: &mut Answer| _ = answer.messages[1].fields.insert("JOB_RESULT".into(), "done".into()), Some(Kind::Message))]
#[case::a_number_of_the_machine(|answer: &mut Answer| _ = answer.messages[1].fields.insert("JOB_ID".into(), "7".into()), None)]
#[case::order(|answer: &mut Answer| answer.messages.swap(0, 1), Some(Kind::Message))]
#[case::one_less(|answer: &mut Answer| _ = answer.messages.pop(), Some(Kind::Message))]
#[case::a_little_late(|answer: &mut Answer| answer.messages[1].t_ms = Times::at(800), None)]
#[case::too_late(|answer: &mut Answer| answer.messages[1].t_ms = Times::at(801), Some(Kind::Moment))]
#[case::child(|answer: &mut Answer| answer.child_messages.clear(), Some(Kind::Children))]
#[case::code(|answer: &mut Answer| answer.commands[0].rc = Some(1), Some(Kind::Code))]
#[case::no_end(|answer: &mut Answer| answer.commands[0] = Ended::default(), Some(Kind::Code))]
#[case::output(|answer: &mut Answer| answer.commands[0].out = "failed\n".to_owned(), Some(Kind::Output))]
#[case::error(|answer: &mut Answer| answer.commands[0].err = "no\n".to_owned(), Some(Kind::Output))]
#[case::end(|answer: &mut Answer| answer.commands[0].end_ms = Some(Times::at(321)), Some(Kind::End))]
#[case::runs(|answer: &mut Answer| answer.runs = 2, Some(Kind::Runs))]
fn whatever_differs_is_found(#[case] change: fn(&mut Answer), #[case] kind: Option<Kind>) {
    let (case, theirs) = (one_case(), one_answer());
    let mut ours = theirs.clone();
    change(&mut ours);
    let found: Vec<Kind> = compare(&case, &theirs, &ours).iter().map(|difference| difference.kind).collect();
    assert_eq!(found, Vec::from_iter(kind));
    // A take that differs in more than moments makes a case unstable; moments become a range.
    let agreed = agree(&case, &[theirs, ours.clone()]);
    let moments = matches!(kind, None | Some(Kind::Moment | Kind::End));
    assert_eq!(agreed.is_ok(), moments, "{agreed:?}");
    if let Ok(agreed) = agreed {
        assert_eq!(compare(&case, &agreed, &ours), []);
    }
}

#[test]
fn units_side_by_side_may_log_in_any_order_but_each_its_own() {
    let case = one_case();
    let mut one = one_answer();
    one.messages[1].unit = Some("b.service".to_owned());
    let mut other = one.clone();
    other.messages.swap(0, 1);
    let agreed = agree(&case, &[one.clone(), other.clone()]).expect("the same, unit by unit");
    assert_eq!(agreed.order.as_deref(), Some("per unit"));
    assert_eq!(compare(&case, &agreed, &other), []);
    other.messages[0].msg.push('!');
    assert_eq!(compare(&case, &agreed, &other).len(), 1);
}

#[test]
fn a_difference_is_shown_in_two_columns() {
    let (case, theirs) = (one_case(), one_answer());
    let mut ours = theirs.clone();
    ours.messages[1].msg = "Stopped b.".to_owned();
    let wrong = compare(&case, &theirs, &ours);
    let shown =
        show::two_columns(&case, &Differs { theirs, ours: Some(ours), version: "systemd 252".to_owned(), wrong });
    let rows: Vec<Vec<&str>> =
        shown.lines().filter(|line| line.contains('│')).map(|line| line.split('│').map(str::trim).collect()).collect();
    assert_eq!(rows[0], ["systemd 252", "relapse, embedded manager"], "{shown}");
    assert!(rows.contains(&vec!["≠    500 <6> #0 Stopped a. -", ""]), "{shown}");
    assert!(rows.contains(&vec!["≠", "500 <6> #0 Stopped b. -"]), "{shown}");
    assert!(rows.contains(&vec!["10 <6> #0 Started a. -", "10 <6> #0 Started a. -"]), "{shown}");
    assert!(shown.contains("500 ms  (writes a.service.d/x.conf: \"\")"), "{shown}");
}

#[test]
fn a_machine_is_followed_by_its_own_version() {
    let versions: BTreeMap<&str, Profile> =
        [("systemd 252 (252.38-1~deb12u1)", Profile::V252), ("systemd 257 (257.13)", Profile::V257)].into();
    for (line, wanted) in versions {
        assert_eq!(profile(line), wanted, "{line}");
    }
}

#[test]
fn known_differences_have_a_pattern_a_profile_and_a_reason() {
    let list = include_str!("../../fixtures/systemd/known-differences.md");
    let wrong: Vec<String> = known::rows(list).filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let rows = "| `add-\\w+ .*(a\\|b)` | 252 | because |\n| `(` | all | x |\n| `x` | now | x |\n| `x` | all | |\n";
    let rows: Vec<bool> = known::rows(rows).map(|row| row.is_ok()).collect();
    assert_eq!(rows, [true, false, false, false]);
}

// ---- the command

#[test]
fn cases_are_printed_one_a_line() {
    let output = relapse().args(["conform", "--cases", "3", "--seed", "5", "--print"]).output().expect("runs");
    let lines: Vec<Case> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect();
    assert_eq!(lines, generate::cases(5).take(3).collect::<Vec<_>>());
}

#[rstest]
#[case::no_such_case(&["--only", "g1n0000", "nobody"], 2, "error: there is no case `nobody`")]
#[case::no_such_file(&["--from", "/nonexistent"], 2, "error: /nonexistent: No such file or directory (os error 2)")]
#[case::no_systemd(&["--only", "g1n0000", "--root", "/nowhere"], 3, "no systemd is installed here")]
fn what_is_wrong_is_said(#[case] words: &[&str], #[case] code: i32, #[case] said: &str) {
    let output = relapse().arg("conform").args(words).output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with(said), "{stderr}");
    assert_eq!(output.status.code(), Some(code), "{stderr}");
}

#[test]
fn a_real_systemd_does_the_same_if_there_is_one() {
    let output = relapse().args(["conform", "--only", "restart000", "--takes", "1"]).output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        let required = std::env::var("RELAPSE_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|word| word == "systemd"), "{stderr}");
        return eprintln!("skipped: {stderr}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1/1\n", "{stderr}");
}
