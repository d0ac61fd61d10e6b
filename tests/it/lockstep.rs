//! The clock: incident time moves when, and only when, every process of the run waits.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::mpsc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use relapse::sys::process::Watch;
use relapse::{Options, Outcome, Scenario, Verdict, report};
use rstest::rstest;

/// Runs the lines of one console block.
pub(crate) fn console(lines: &str, options: Options) -> Outcome {
    let document = format!(
        "# Console\n\n```toml scenario\nkind = \"behaviour\"\nclock = 2026-01-16T12:00:00\nports = [8000]\n```\n\n\
         ```console\n{lines}\n```\n\n```expect\nalways port 8000 owner = none for 1s\n```\n"
    );
    run(&document, options)
}

pub(crate) fn run(document: &str, options: Options) -> Outcome {
    let scenario = match Scenario::parse("console.md", document) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{}", error.render(relapse::expect::Style::Plain)),
    };
    scenario.run(&options).expect("the run begins")
}

pub(crate) fn options() -> Options {
    Options { helper: Some(env!("CARGO_BIN_EXE_relapse").into()), ..Options::default() }
}

#[track_caller]
pub fn holds(outcome: &Outcome) {
    assert_eq!(outcome.verdict, Verdict::Holds, "{}", report::text(outcome, relapse::expect::Style::Plain));
}

#[rstest]
#[case::a_shell_that_waits_for_a_child("$ sh -c 'sleep 4; exit 1'\n? 1\n$ date +%T\n12:00:04")]
#[case::sleeps_side_by_side("$ sleep 3 & sleep 5 & sleep 4 & wait; date +%T\n12:00:05")]
#[case::sleeps_in_a_row("$ sleep 0.25; sleep 1m 5s; date +%T.%N\n12:01:05.250000000")]
#[case::a_pipe_from_a_sleeper("$ (sleep 3; date +%T) | cat\n12:00:03")]
#[case::a_command_substitution("$ x=$(sleep 2; date +%T); sleep 1; echo $x; date +%T\n12:00:02\n12:00:03")]
#[case::ties_are_broken_by_order_of_birth(
    "$ (sleep 2; echo one) & (sleep 2; echo two) & (sleep 1; echo zero) & wait\nzero\none\ntwo"
)]
#[case::a_signal_ends_a_sleep("$ sleep 100 & kill $!; wait $!; echo $?; date +%T\n143\n12:00:00")]
#[case::a_signal_after_a_while(
    "$ sleep 100 & p=$!; (sleep 7; kill -KILL $p) & wait $p 2>/dev/null; echo $?; date +%T\n137\n12:00:07"
)]
#[case::timeout_is_incident_time("$ timeout 90 sleep 3600; echo $?; date +%T\n124\n12:01:30")]
#[case::timeout_of_a_quick_command("$ timeout 90 sleep 3; echo $?; date +%T\n0\n12:00:03")]
#[case::a_stopped_process_is_quiet("$ sleep 2 & kill -STOP $!; sleep 5; kill -CONT $!; wait; date +%T\n12:00:05")]
#[case::a_child_that_outlives_its_shell(
    "$ (sleep 3; date +%T > /home/late) & true\n$ sleep 4; cat /home/late\n12:00:03"
)]
#[case::busy_work_takes_no_time("$ i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; date +%T\n12:00:00")]
#[case::a_loop_of_commands_does_not_stop_the_clock(
    "$ (sleep 1; touch /home/done) & until [ -e /home/done ]; do systemctl is-active -q x; done; date +%T\n12:00:01"
)]
#[case::a_daemon_twice_forked("$ sh -c '(sleep 6; date +%T > /home/daemon) &' ; sleep 7; cat /home/daemon\n12:00:06")]
fn a_command_takes_exactly_its_incident_time(#[case] lines: &str) {
    holds(&console(lines, options()));
}

#[test]
fn a_signal_to_a_process_outside_the_run_is_refused() {
    holds(&console("$ kill 1\nkill: (1) - No such process\n? 1", options()));
}

#[test]
fn a_program_with_a_timer_of_its_own_is_named() {
    let outcome = console("$ /usr/bin/../bin/sleep 30", options());
    assert_eq!(outcome.verdict, Verdict::Stalled);
    let text = outcome.failures[0].message();
    assert!(text.contains("`/usr/bin/../bin/sleep 30` cannot run in lock-step"), "{text}");
}

#[test]
fn a_program_that_never_comes_back_is_a_stall() {
    let outcome = console("$ while :; do :; done", Options { stall: Duration::from_secs(1), ..options() });
    assert_eq!(outcome.verdict, Verdict::Stalled);
    let text = outcome.failures[0].message();
    assert!(text.starts_with("stall: "), "{text}");
}

#[test]
fn a_command_that_waits_for_ever_is_ended_by_the_budget() {
    let outcome = console("$ sleep infinity", options());
    assert_eq!(outcome.verdict, Verdict::Violated);
    assert_eq!(outcome.failures[0].message(), "the command did not end within 10min of incident time");
}

#[test]
fn what_sudo_timeout_and_watch_pass_on_stays_within_the_run() {
    let lines = "$ sudo mkdir -p /etc/systemd/system/relapse-test.service.d; timeout 5 touch /etc/systemd/system/relapse-test\n\
                 $ timeout 3 watch -t -n 2 'touch /etc/systemd/system/relapse-test-2'\n? 124\n\
                 $ ls /etc/systemd/system\nrelapse-test\nrelapse-test-2\nrelapse-test.service.d";
    holds(&console(lines, options()));
    for name in ["relapse-test", "relapse-test-2", "relapse-test.service.d"] {
        assert!(!std::path::Path::new("/etc/systemd/system").join(name).exists(), "{name} was made on the host");
    }
}

#[test]
fn who_waits_in_poll_is_told_from_who_was_woken_or_waits_elsewhere() {
    let (receive, mut send) = std::io::pipe().expect("a pipe");
    let (tell, told) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        tell.send(nix::unistd::gettid().as_raw()).expect("it is waited for");
        let mut fds = [PollFd::new(receive.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).expect("something to read");
        tell.send(0).expect("it is waited for");
        // It waits, too, but not in poll(2).
        let _ = ends.recv();
    });
    let id = told.recv().expect("a thread");
    let mut watch = Watch::new(id);
    let function = || std::fs::read_to_string(format!("/proc/{id}/wchan")).unwrap_or_default();
    let mut looks = 0;
    while !function().contains("poll") {
        looks += 1;
        if looks > 1_000_000 {
            // This kernel does not tell; whoever waits is sent a probe then.
            return;
        }
        std::thread::yield_now();
    }
    assert!(watch.sleeps_in_poll());
    send.write_all(b"x").expect("room");
    // What was written has woken it before write(2) came back.
    assert!(!watch.sleeps_in_poll());
    assert_eq!(told.recv(), Ok(0));
    assert!(!watch.sleeps_in_poll());
    drop(end);
    thread.join().expect("an end");
    assert!(!watch.sleeps_in_poll(), "it is gone");
}
