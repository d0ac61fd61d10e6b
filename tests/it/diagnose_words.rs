//! What `relapse diagnose` reads: messages, command lines, addresses, control groups, journals and settings.

use std::net::IpAddr;

use relapse::diagnose::{
    Limit, Listener, Manager, Place, Service, Wanted, digest, in_command, in_message, limit, perhaps_in_command,
};
use relapse::journal::Record;
use relapse::time::Span;
use rstest::rstest;

use crate::diagnose::{NOW, ago, journal, listener, service, words};

const COMMAND: &str = "/home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000";

pub fn wanted(address: &str, port: u16) -> Wanted {
    Wanted { port, address: address.parse::<IpAddr>().ok() }
}

#[rstest]
#[case(
    "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
    Some(Some(wanted("0.0.0.0", 8000)))
)]
#[case("Error: listen EADDRINUSE: address already in use :::3000", Some(Some(wanted("::", 3000))))]
#[case("listen tcp 127.0.0.1:8080: bind: address already in use", Some(Some(wanted("127.0.0.1", 8080))))]
#[case("listen tcp :8080: bind: address already in use", Some(Some(wanted("", 8080))))]
#[case("nginx: [emerg] bind() to [::]:80 failed (98: Address already in use)", Some(Some(wanted("::", 80))))]
#[case("Web server failed to start. Port 8080: address already in use", Some(Some(wanted("", 8080))))]
#[case("Address already in use (os error 98)", Some(None))]
#[case(
    "a.socket: Failed to create listening socket (0.0.0.0:8000): Address already in use",
    Some(Some(wanted("0.0.0.0", 8000)))
)]
#[case("Uvicorn running on http://0.0.0.0:8000", None)]
#[case("", None)]
fn bind_errors_are_read(#[case] message: &str, #[case] expected: Option<Option<Wanted>>) {
    assert_eq!(in_message(message), expected, "{message}");
}

#[rstest]
#[case(COMMAND, &[("0.0.0.0", 8000)], &[])]
#[case("gunicorn -b 127.0.0.1:8001 --workers 4 app", &[("127.0.0.1", 8001)], &[])]
#[case("gunicorn --bind=[::]:8002 app", &[("::", 8002)], &[])]
#[case("app --listen=:9000", &[("", 9000)], &[])]
#[case("redis-server --port 6379 --timeout 80", &[("", 6379)], &[])]
#[case("python -m http.server 8000", &[], &[8000])]
#[case("node --max-old-space-size=4096 server.js", &[], &[])]
#[case("sleep infinity", &[], &[])]
fn command_lines_are_read(#[case] line: &str, #[case] sure: &[(&str, u16)], #[case] perhaps: &[u16]) {
    let expected: Vec<Wanted> = sure.iter().map(|(address, port)| wanted(address, *port)).collect();
    assert_eq!(in_command(&words(line)), expected, "{line}");
    let found: Vec<u16> = perhaps_in_command(&words(line)).iter().map(|wanted| wanted.port).collect();
    assert_eq!(found, perhaps, "{line}");
}

/// What is wanted, what is taken, whether it leaves IPv4 alone, and whether they are in conflict (socket(7), ipv6(7)).
#[rstest]
#[case("0.0.0.0", "0.0.0.0", None, true)]
#[case("0.0.0.0", "127.0.0.1", None, true)]
#[case("127.0.0.1", "0.0.0.0", None, true)]
#[case("127.0.0.1", "127.0.0.2", None, false)]
#[case("0.0.0.0", "::", Some(false), true)]
#[case("0.0.0.0", "::", Some(true), false)]
#[case("0.0.0.0", "::1", Some(false), false)]
#[case("127.0.0.1", "::ffff:127.0.0.1", Some(false), true)]
#[case("::", "::1", Some(true), true)]
#[case("::1", "::", Some(true), true)]
#[case("", "::", Some(true), true)]
#[case("::", "0.0.0.0", None, true)]
#[case("::1", "0.0.0.0", None, false)]
fn addresses_are_in_conflict_or_not(
    #[case] wants: &str,
    #[case] taken: &str,
    #[case] only: Option<bool>,
    #[case] conflict: bool,
) {
    let taken = Listener { v6_only: only, ..listener(taken, None) };
    assert_eq!(wanted(wants, 8000).conflicts_with(&taken), conflict);
    assert!(!wanted(wants, 8001).conflicts_with(&taken));
}

#[rstest]
#[case("/system.slice/app.service", Place::Service { unit: "app.service".into(), manager: Manager::System })]
#[case("/system.slice/app.service/workers/1", Place::Service { unit: "app.service".into(), manager: Manager::System })]
#[case("/system.slice/system-getty.slice/getty@tty1.service", Place::Service { unit: "getty@tty1.service".into(), manager: Manager::System })]
#[case("/user.slice/user-1000.slice/session-3.scope", Place::Session { scope: "session-3.scope".into(), uid: Some(1000) })]
#[case("/user.slice/user-7.slice/user@7.service/app.slice/x.service", Place::Service { unit: "x.service".into(), manager: Manager::User(7) })]
#[case("/user.slice/user-7.slice/user@7.service/init.scope", Place::Init(Some(7)))]
#[case("/user.slice/user-7.slice/user@7.service/tmux-spawn-1.scope", Place::Scope { scope: "tmux-spawn-1.scope".into(), uid: Some(7) })]
#[case("/user.slice/user-7.slice/user@7.service", Place::UserManager(7))]
#[case("/init.scope", Place::Init(None))]
#[case("/", Place::Group("/".into()))]
#[case("/mine", Place::Group("/mine".into()))]
#[case("/system.slice/$(x).service", Place::Group("/system.slice/$(x).service".into()))]
fn a_control_group_s_path_says_where_a_process_belongs(#[case] path: &str, #[case] place: Place) {
    assert_eq!(Place::of_group(path), place);
}

#[test]
fn the_real_incident_s_journal_is_digested() {
    let digest = journal();
    let (least, median, most) = digest.period().expect("a period");
    assert!(least >= Span::from_secs(14) && most <= Span::from_secs(15), "{least} {most}");
    assert_eq!(median.as_micros() / 100_000, 145);
    assert!(digest.attempt().is_some_and(|span| (4..5).contains(&(span.as_micros() / 1_000_000))));
    assert_eq!(digest.bind_errors[0].wanted, Some(wanted("0.0.0.0", 8000)));
    assert_eq!(digest.ends[0].1, "exited");
    assert!(!digest.is_growing());
    assert_eq!(digest.limited, None);
}

pub fn of_systemd(at: u64, message: &str, fields: &[(&str, &str)]) -> Record {
    let record = Record::new(ago(1_000) + Span::from_secs(at), ago(1_000)).with("MESSAGE", message);
    let record = record.with("_PID", "1").with("UNIT", "a.service");
    fields.iter().fold(record, |record, (name, value)| record.with(name, *value))
}

#[test]
fn a_growing_delay_and_a_limit_are_read_from_systemd_s_own_fields_only() {
    let id = "5eb03494b6584870a536b337290809b3";
    let gaps = [0, 5, 15, 35, 75];
    let restart = |(at, n): (u64, &str)| of_systemd(at, "x", &[("MESSAGE_ID", id), ("N_RESTARTS", n)]);
    let mut records: Vec<Record> = gaps.into_iter().zip(["1", "2", "3", "4", "5"]).map(restart).collect();
    assert!(digest("a.service", &records).is_growing());
    assert_eq!(digest("b.service", &records).restarts, []);
    // An application that quotes it has said nothing.
    let quoted = Record::new(NOW, NOW)
        .with("_PID", "77")
        .with("UNIT", "a.service")
        .with("MESSAGE", "a.service: Start request repeated too quickly.");
    records.push(quoted);
    assert_eq!(digest("a.service", &records).limited, None);
    records.push(of_systemd(80, "a.service: Start request repeated too quickly.", &[]));
    assert!(digest("a.service", &records).limited.is_some());
    records.push(of_systemd(
        81,
        "a.service: Found left-over process 46 (python) in control group while starting unit. Ignoring.",
        &[],
    ));
    assert_eq!(digest("a.service", &records).left_over, Some(46));
}

#[rstest]
#[case::of_the_incident("10s", "10s", 5, Limit::Never(Some(Span::from_secs(2))))]
#[case::without_a_limit("10s", "0", 5, Limit::Never(None))]
#[case::of_five_minutes("10s", "5min", 5, Limit::After(5))]
#[case::of_none_allowed("100ms", "10s", 5, Limit::Never(Some(Span::from_secs(2))))]
fn its_own_limit_ends_it_or_never_does(
    #[case] delay: &str,
    #[case] interval: &str,
    #[case] burst: u32,
    #[case] expected: Limit,
) {
    let span = |text: &str| Span::parse(text).expect("a span");
    let service =
        Service { restart_delay: span(delay), limit_interval: span(interval), limit_burst: burst, ..service() };
    assert_eq!(limit(&service, Some(&journal()), Some(252)), expected);
    // Its start-up alone keeps it below the limit; without one it would be hit.
    let fast = Service { started: None, exited: None, ..service };
    let quick = limit(&fast, None, Some(252));
    assert_eq!(matches!(quick, Limit::After(_)), delay == "100ms" || interval == "5min", "{quick:?}");
}
