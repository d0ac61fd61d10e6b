//! `relapse diagnose`: what it makes of facts, without a host.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relapse::diagnose::{
    Cause, Digest, Facts, Finding, Listener, Place, Process, Service, Sigterm, Units, Unseen, Verdict, digest, json,
    judge, parse_show, text,
};
use relapse::journal::Record;
use relapse::time::{IncidentTime, Span};
use rstest::rstest;

use crate::diagnose_words::of_systemd;

/// 2026-11-23 16:44:20 UTC: five seconds after the end of the recorded journal.
pub const NOW: IncidentTime = IncidentTime::from_micros(1_795_452_260_000_000);
const UNIT: &str = "lumiera-whatsapp.service";

pub fn ago(secs: u64) -> IncidentTime {
    NOW - Span::from_secs(secs)
}

pub fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// The unit of the incident, in its wait.
pub fn service() -> Service {
    let text = include_str!("../../fixtures/logs/incident/cycle1-autorestart.show.txt");
    let (mut services, _) = parse_show(text, (NOW, 800_000_000));
    let mut service = services.remove(0);
    service.n_restarts = 9;
    service.uid = Some(1000);
    service
}

/// The journal of the real incident, by its first hundred records.
pub fn journal() -> Digest {
    let text = include_str!("../../fixtures/logs/incident.journal.json");
    let records: Vec<Record> = text.lines().map(|line| Record::from_json(line).expect("a record")).collect();
    digest(UNIT, &records)
}

fn process(pid: i32, place: Place) -> Process {
    Process {
        pid,
        ancestors: vec![1],
        parent: "/sbin/init".to_owned(),
        uid: 1000,
        user: "ceeai".to_owned(),
        comm: "python".to_owned(),
        argv: words("venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000"),
        since: Some(ago(660)),
        place,
        sigterm: Sigterm::Handles,
    }
}

pub fn listener(address: &str, holder: Option<Process>) -> Listener {
    Listener {
        address: address.parse().expect("an address"),
        port: 8000,
        inode: 33_993,
        uid: 1000,
        user: "ceeai".to_owned(),
        v6_only: None,
        waiting: 0,
        backlog: 2048,
        place: holder.as_ref().map(|holder| holder.place.clone()).unwrap_or_default(),
        holders: holder.into_iter().collect(),
        neighbours: Vec::new(),
    }
}

fn session() -> Place {
    Place::of_group("/user.slice/user-1000.slice/session-3.scope")
}

fn incident() -> Facts {
    Facts {
        now: NOW,
        unit: None,
        version: Some(252),
        services: vec![service()],
        journals: BTreeMap::from([(UNIT.to_owned(), journal())]),
        listeners: vec![listener("0.0.0.0", Some(process(3_368_901, session())))],
        ..Facts::default()
    }
}

/// The only finding.
fn finding(facts: &Facts) -> Finding {
    let mut diagnosis = judge(facts);
    assert_eq!(diagnosis.findings.len(), 1, "{:#?}", diagnosis.findings);
    diagnosis.findings.remove(0)
}

#[test]
fn the_incident_is_told_in_a_page() {
    let facts = incident();
    insta::assert_snapshot!(text(&facts, &judge(&facts)), @r#"
    PROBLEM: lumiera-whatsapp.service cannot have port 8000: process 3368901, started by hand, has it; 9 restarts so far, one every 14.6s.

    Who has it
      0.0.0.0:8000
        pid 3368901  venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000
        of ceeai, in a login session (session-3.scope of user 1000), since 2026-11-23 16:33:20 UTC (11min ago)
        started by pid 1  /sbin/init

    Who wants it
      lumiera-whatsapp.service  activating (auto-restart), Result=exit-code, NRestarts=9
      runs      /home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000
      as        ceeai
      restarts  every 14.6s, from 14.4s to 14.7s; an attempt takes 4.5s
      at least since 2026-11-23 16:42:14 UTC (2min 5s ago)
      limit     5 starts in 10s never end this: they do only where a cycle takes less than 2s
      says      ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use

    Why
      The unit's own journal says that port 8000 was in use when it tried.
      It could be killed by a command of the unit, running as ceeai, since both are of one user.
      see scenarios/the-loop.md

    What to do (nothing of it has been run)
      1. End it. lumiera-whatsapp.service takes over by itself; nobody is served for up to 14.7s then. It has a handler for SIGTERM: if it is still there after a while, kill -9. (scenarios/fixes/kill-the-manual-process.md)
           kill 3368901
      2. Or keep whoever serves, and stop lumiera-whatsapp.service. Nothing starts at boot then. (scenarios/fixes/stop-and-disable-the-service.md)
           systemctl disable --now lumiera-whatsapp.service
      Then look again:
           relapse diagnose lumiera-whatsapp.service
    "#);
}

#[test]
fn the_incident_is_told_to_machines() {
    let facts = incident();
    let parsed: serde_json::Value = serde_json::from_str(&json(&facts, &judge(&facts))).expect("JSON");
    assert_eq!(parsed["verdict"], "problem");
    let finding = &parsed["findings"][0];
    assert_eq!(finding["cause"], "manual-process");
    assert_eq!(finding["holders"][0]["processes"][0]["pid"], 3_368_901);
    assert_eq!(finding["ends_by_itself"], false);
    assert_eq!(finding["ways"][0]["commands"][0], "kill 3368901");
}

/// What is different from the incident, and what is made of it.
type Row = (&'static str, fn(&mut Facts), Cause, &'static str);

fn holder(facts: &mut Facts) -> &mut Process {
    &mut facts.listeners[0].holders[0]
}

fn quiet(facts: &mut Facts) {
    facts.journals.insert(UNIT.to_owned(), Digest { bind_errors: Vec::new(), ..journal() });
}

const ROWS: &[Row] = &[
    ("nothing", |_| {}, Cause::ManualProcess, "kill 3368901"),
    ("it ignores SIGTERM", |facts| holder(facts).sigterm = Sigterm::Ignores, Cause::ManualProcess, "kill -9 3368901"),
    (
        "a terminal's scope",
        |facts| {
            let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope";
            holder(facts).place = Place::of_group(path);
        },
        Cause::ManualProcess,
        "kill 3368901",
    ),
    (
        "started by cron",
        |facts| holder(facts).place = Place::of_group("/system.slice/cron.service"),
        Cause::ManualProcess,
        "kill 3368901",
    ),
    (
        "another unit",
        |facts| holder(facts).place = Place::of_group("/system.slice/whatsapp-api.service"),
        Cause::OtherUnit,
        "systemctl disable --now whatsapp-api.service",
    ),
    (
        "another unit with a name that a shell would not leave alone",
        |facts| holder(facts).place = Place::of_group(r"/system.slice/a\x2db.service"),
        Cause::OtherUnit,
        r"systemctl disable --now 'a\x2db.service'",
    ),
    (
        "a unit of the user's own manager",
        |facts| {
            let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/whatsapp.service";
            holder(facts).place = Place::of_group(path);
        },
        Cause::UserUnit,
        "systemctl --user --machine=1000@.host disable --now whatsapp.service",
    ),
    (
        "the user's manager",
        |facts| holder(facts).place = Place::of_group("/user.slice/user-1000.slice/user@1000.service"),
        Cause::UserUnit,
        "systemctl stop user@1000.service",
    ),
    (
        "a child of its own that is left over",
        |facts| holder(facts).place = Place::of_group(&format!("/system.slice/{UNIT}")),
        Cause::LeftOverChild,
        "kill 3368901",
    ),
    (
        "a container",
        |facts| holder(facts).place = Place::of_group(&format!("/system.slice/docker-{}.scope", "0123".repeat(16))),
        Cause::Container,
        "docker ps --filter publish=8000",
    ),
    (
        "nobody that can be seen, nor where",
        |facts| {
            facts.listeners[0].holders.clear();
            facts.listeners[0].place = Place::Unknown;
        },
        Cause::UnseenHolder,
        "sudo relapse diagnose --port 8000",
    ),
    (
        "nobody that can be seen, but where",
        |facts| {
            facts.listeners[0].holders.clear();
            facts.listeners[0].place = Place::of_group("/system.slice/whatsapp-api.service");
        },
        Cause::OtherUnit,
        "systemctl disable --now whatsapp-api.service",
    ),
    (
        "on both families",
        |facts| {
            facts.listeners[0].address = "::".parse().expect("an address");
            facts.listeners[0].v6_only = Some(false);
        },
        Cause::ManualProcess,
        "kill 3368901",
    ),
    ("gone", |facts| facts.listeners.clear(), Cause::PortIsFreeNow, "systemctl stop lumiera-whatsapp.service"),
    (
        "on IPv6 alone, which is in nobody's way",
        |facts| {
            facts.listeners[0].address = "::".parse().expect("an address");
            facts.listeners[0].v6_only = Some(true);
        },
        Cause::PortIsFreeNow,
        "systemctl stop lumiera-whatsapp.service",
    ),
    (
        "a PID file, and nobody",
        |facts| {
            facts.listeners.clear();
            quiet(facts);
            let said = (ago(1), "already running with PID 4711".to_owned());
            facts.journals.get_mut(UNIT).expect("a journal").already_running = Some(said);
        },
        Cause::StalePidFile,
        "systemctl cat lumiera-whatsapp.service",
    ),
    (
        "exits with 0",
        |facts| {
            quiet(facts);
            facts.services[0].exec_main_status = 0;
            facts.services[0].result = "success".to_owned();
        },
        Cause::CleanExit,
        "kill 3368901",
    ),
    (
        "crashes, and nobody has a port",
        |facts| {
            facts.listeners.clear();
            quiet(facts);
            facts.services[0].exec_main_code = 2;
            facts.services[0].exec_main_status = 11;
            facts.services[0].result = "signal".to_owned();
        },
        Cause::NotThePort,
        "journalctl -u lumiera-whatsapp.service -n 50 --no-pager",
    ),
    (
        "its start limit",
        |facts| {
            facts.services[0].active_state = "failed".to_owned();
            facts.services[0].sub_state = "failed".to_owned();
            facts.journals.get_mut(UNIT).expect("a journal").limited = Some(ago(1));
        },
        Cause::StartLimit,
        "kill 3368901",
    ),
    (
        "its start limit, and no journal",
        |facts| {
            facts.services[0].active_state = "failed".to_owned();
            facts.services[0].sub_state = "failed".to_owned();
            facts.journals.clear();
        },
        Cause::StartLimit,
        "kill 3368901",
    ),
    (
        "in an attempt",
        |facts| {
            facts.services[0].active_state = "active".to_owned();
            facts.services[0].sub_state = "running".to_owned();
            facts.services[0].main_pid = 77;
            facts.services[0].started = Some(ago(2));
        },
        Cause::ManualProcess,
        "kill 3368901",
    ),
];

#[test]
fn each_variant_has_its_cause_and_its_first_command() {
    for (what, change, cause, command) in ROWS {
        let mut facts = incident();
        change(&mut facts);
        let finding = finding(&facts);
        assert_eq!(finding.cause, *cause, "{what}: {finding:#?}");
        let first = finding.ways.iter().flat_map(|way| &way.commands).next();
        assert_eq!(first.map(String::as_str), Some(*command), "{what}: {finding:#?}");
        if let Some(page) = cause.page() {
            assert!(finding.pages.contains(&page), "{what}: {finding:#?}");
        }
    }
}

#[test]
fn every_page_that_is_named_is_in_the_library() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<String> = Cause::ALL.iter().filter_map(|cause| Some(cause.page()?.to_string())).collect();
    for (_, change, _, _) in ROWS {
        let mut facts = incident();
        change(&mut facts);
        let finding = finding(&facts);
        pages.extend(
            finding
                .pages
                .iter()
                .chain(finding.ways.iter().filter_map(|way| way.page.as_ref()))
                .map(|page| page.to_string()),
        );
    }
    // Those that the sources name, reached here or not.
    for source in ["advice.rs", "judge.rs", "cause.rs"] {
        let text = std::fs::read_to_string(root.join("harness/diagnose").join(source)).expect("a source");
        let named = text.split('"').filter(|word| word.ends_with(".md") && !word.contains([' ', '{']));
        pages.extend(named.map(|page| format!("scenarios/{page}")));
    }
    assert!(pages.len() > 30);
    for page in pages {
        assert!(root.join(&page).is_file(), "there is no {page}");
    }
}

/// Changes that make it well.
#[rstest]
#[case::it_serves(|facts: &mut Facts| {
    facts.services[0].active_state = "active".to_owned();
    facts.services[0].sub_state = "running".to_owned();
    facts.services[0].main_pid = 3_368_901;
    facts.services[0].started = Some(ago(2));
})]
#[case::a_child_of_it_serves(|facts: &mut Facts| {
    facts.services[0].active_state = "active".to_owned();
    facts.services[0].sub_state = "running".to_owned();
    facts.services[0].main_pid = 77;
    facts.services[0].started = Some(ago(2));
    facts.listeners[0].holders[0].ancestors = vec![77, 1];
})]
#[case::it_has_held_for_long(|facts: &mut Facts| {
    facts.services[0].active_state = "active".to_owned();
    facts.services[0].sub_state = "running".to_owned();
    facts.services[0].main_pid = 77;
    facts.now = NOW + Span::from_secs(3_600);
    facts.services[0].started = Some(NOW);
    facts.listeners.clear();
})]
#[case::it_was_stopped(|facts: &mut Facts| {
    facts.services[0].active_state = "inactive".to_owned();
    facts.services[0].sub_state = "dead".to_owned();
})]
fn what_is_well_is_not_accused(#[case] change: fn(&mut Facts)) {
    let mut facts = incident();
    change(&mut facts);
    let diagnosis = judge(&facts);
    assert!(diagnosis.findings.is_empty(), "{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.verdict(&facts), Verdict::Healthy);
    // Where units could not be seen, that is not known.
    let blind = Facts { units: Units::Unseen, services: Vec::new(), ..facts };
    assert_eq!(judge(&blind).verdict(&blind), Verdict::Unknown);
}

#[test]
fn another_port_s_fight_is_no_answer() {
    let facts = Facts { port: Some(9000), ..incident() };
    assert!(judge(&facts).findings.is_empty());
    let facts = Facts { port: Some(8000), ..incident() };
    assert_eq!(finding(&facts).port, Some(8000));
    // A unit that is named loops, whatever port is asked for.
    let facts = Facts { port: Some(9000), unit: Some(UNIT.to_owned()), ..incident() };
    assert_eq!(finding(&facts).port, Some(8000));
}

#[test]
fn without_a_bind_error_a_cause_is_only_likely() {
    let mut facts = incident();
    quiet(&mut facts);
    let finding = finding(&facts);
    assert!(!finding.certain);
    assert!(
        finding.headline.contains("cannot have port 8000 (likely): process 3368901, started by hand"),
        "{finding:#?}"
    );
    let mut facts = incident();
    facts.journals.clear();
    assert!(!self::finding(&facts).certain);
}

fn healthy() -> Facts {
    let mut facts = incident();
    let (active_state, sub_state) = ("active".to_owned(), "running".to_owned());
    facts.services[0] = Service { active_state, sub_state, started: Some(ago(3_600)), ..service() };
    facts
}

/// Two sockets on one port: where, of which place, and what is made of it.
#[rstest]
#[case("0.0.0.0", "0.0.0.0", "-m", Some(Cause::SharedPort))]
#[case("0.0.0.0", "::", "-m", Some(Cause::TwoFamilies))]
#[case("127.0.0.1", "127.0.0.2", "-m", Some(Cause::TwoAddresses))]
// Other programs: a resolver on each of two addresses is what addresses are for.
#[case("127.0.0.1", "127.0.0.2", "-x", None)]
#[case("0.0.0.0", "::", "-x", None)]
fn two_servers_on_one_port_are_a_split(
    #[case] one: &str,
    #[case] other: &str,
    #[case] argument: &str,
    #[case] cause: Option<Cause>,
) {
    let mut facts = healthy();
    let service = Place::of_group(&format!("/system.slice/{UNIT}"));
    let mut second = process(99, service.clone());
    second.argv[1] = argument.to_owned();
    facts.listeners = vec![listener(one, Some(process(3_368_901, session()))), listener(other, Some(second))];
    let found = judge(&facts).findings.first().map(|finding| finding.cause);
    assert_eq!(found, cause);
    // Workers of one service are one server.
    facts.listeners[0].holders[0].place = service;
    assert!(judge(&facts).findings.is_empty());
}

#[test]
fn nothing_that_strangers_wrote_reaches_the_terminal_or_a_command() {
    let mut facts = incident();
    holder(&mut facts).argv = vec!["\u{1b}[2J$(reboot)".to_owned(), "x".repeat(100_000)];
    holder(&mut facts).place = Place::of_group("/system.slice/$(reboot).service");
    facts.services[0].exec_start = vec![words("\u{1b}]0;x\u{7} --port 8000")];
    facts.journals.get_mut(UNIT).expect("a journal").bind_errors[0].message = "\u{9b}31m\n\nin use".to_owned();
    facts.unseen.push(Unseen { what: "\u{1b}c".to_owned(), remedy: String::new() });
    let diagnosis = judge(&facts);
    let text = text(&facts, &diagnosis);
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{text:?}");
    assert!(text.len() < 10_000);
    let commands: Vec<&String> =
        diagnosis.findings.iter().flat_map(|f| &f.ways).flat_map(|way| &way.commands).collect();
    assert!(!commands.is_empty() && !commands.iter().any(|command| command.contains('$')), "{commands:?}");
    assert!(!json(&facts, &diagnosis).contains('\u{1b}'));
}

proptest! {
    // Each case forecasts what becomes of the unit.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_host_says_is_taken(
        lines in prop::collection::vec("(Id|Listen|ExecStart|RestartUSec|NRestarts|MainPID|User)=.{0,40}|.{0,40}", 0..20),
        message in ".{0,80}",
        path in "(/(user@|user-|session-|_|docker-)?[a-z0-9.@:]{0,20}){0,5}",
    ) {
        let shown = format!("Id=a.service\nActiveState=activating\nSubState=auto-restart\n{}", lines.join("\n"));
        let (services, sockets) = parse_show(&shown, (NOW, 1));
        let record = of_systemd(1, &message, &[("N_RESTARTS", &message), ("_CMDLINE", &message)]);
        let said = Record::new(NOW, NOW).with("MESSAGE", format!("{message} address already in use")).with("_CMDLINE", message);
        let mut facts = Facts { services, sockets, ..incident() };
        facts.listeners[0].holders[0].place = Place::of_group(&path);
        facts.journals.insert("a.service".to_owned(), digest("a.service", [&record, &said]));
        let diagnosis = judge(&facts);
        let shown = text(&facts, &diagnosis);
        prop_assert!(!shown.contains(|c: char| c != '\n' && relapse::timeline::is_obeyed(c)), "{}", shown);
        let parsed = serde_json::from_str::<serde_json::Value>(&json(&facts, &diagnosis));
        prop_assert!(parsed.is_ok(), "{:?}", parsed);
    }
}
