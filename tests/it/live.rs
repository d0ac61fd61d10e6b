//! A machine driven from Rust: what the manager sets up for a process is what the process has.

use relapse::Options;
use relapse::run::{Live, LiveSetup};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;
use rstest::rstest;

/// 2026-01-16 01:00:00 UTC.
const START: IncidentTime = IncidentTime::from_micros(1_768_525_200_000_000);

fn boot() -> Live {
    let setup = LiveSetup {
        profile: Profile::V252,
        start: START,
        timer_phase: Span::ZERO,
        hostname: "web1".to_owned(),
        directories: vec!["/data".to_owned()],
        ports: Default::default(),
        unknown_accounts: ["nobodyknows".to_owned()].into(),
    };
    let options = Options { helper: Some(env!("CARGO_BIN_EXE_relapse").into()), ..Options::default() };
    Live::boot(setup, &options).expect("a machine")
}

/// Starts a oneshot with these settings and says what the command after it prints.
fn after_start(settings: &str, command: &str) -> String {
    let mut live = boot();
    live.write("/etc/systemd/system/a.service", &format!("[Service]\nType=oneshot\n{settings}")).expect("a unit");
    live.write("/data/old", "0123456789\n").expect("a file");
    live.enter(&format!("systemctl start a.service; {command}")).expect("a command");
    let ended = live.run_until(START + Span::from_secs(5)).expect("a run");
    live.end().expect("an end");
    ended.into_iter().next().expect("the command ends").output
}

const SAYS: &str = "ExecStart=/bin/sh -c 'echo out; echo err >&2'\n";

#[rstest]
#[case::appended("StandardOutput=append:/data/old\n", "cat /data/old", "0123456789\nout\nerr\n")]
#[case::written_over("StandardOutput=file:/data/old\n", "cat /data/old", "out\nerr\n89\n")]
#[case::emptied("StandardOutput=truncate:/data/old\n", "cat /data/old", "out\nerr\n")]
#[case::one_each("StandardOutput=append:/data/o\nStandardError=append:/data/e\n", "cat /data/e /data/o", "err\nout\n")]
#[case::nowhere("StandardOutput=null\n", "journalctl -q -o cat -u a.service _TRANSPORT=stdout", "")]
#[case::errors_only("StandardOutput=null\nStandardError=journal\n", "journalctl -q -o cat -t sh", "err\n")]
fn a_service_writes_where_its_streams_go(#[case] settings: &str, #[case] command: &str, #[case] printed: &str) {
    assert_eq!(after_start(&format!("{SAYS}{settings}"), command), printed);
}

#[test]
fn a_stream_that_cannot_be_opened_ends_the_service_with_the_step_s_status() {
    let settings = "ExecStart=/bin/true\nStandardOutput=append:/data/none/log\n";
    let printed =
        after_start(settings, "systemctl show a.service -p Result,ExecMainStatus; journalctl -q -o cat -t '(true)'");
    assert!(printed.contains("Result=exit-code\nExecMainStatus=209\n"), "{printed}");
    assert!(printed.contains("Failed to set up standard output: No such file or directory\n"), "{printed}");
}

#[rstest]
#[case::by_default("", "644\n")]
#[case::private("UMask=0077\n", "600\n")]
fn new_files_have_the_mode_that_umask_leaves(#[case] settings: &str, #[case] mode: &str) {
    let settings = format!("ExecStart=/bin/sh -c 'echo > /data/new'\n{settings}");
    assert_eq!(after_start(&settings, "stat -c %a /data/new"), mode);
}

#[rstest]
#[case::by_default("", "ExecMainCode=1\nExecMainStatus=7\n")]
#[case::taken("IgnoreSIGPIPE=no\n", "ExecMainCode=2\nExecMainStatus=13\n")]
fn a_broken_pipe_kills_only_who_asked_for_it(#[case] settings: &str, #[case] ended: &str) {
    let settings = format!("ExecStart=/bin/sh -c 'kill -PIPE $$$$; exit 7'\n{settings}");
    let printed = after_start(&settings, "systemctl show a.service -p ExecMainCode,ExecMainStatus");
    assert!(printed.ends_with(ended), "{printed}");
}
