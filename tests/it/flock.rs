//! flock(1): locks are the kernel's, the waiting for them is incident time.

use relapse::Verdict;
use rstest::rstest;

use crate::lockstep::{console, holds, options, run};

#[rstest]
#[case::the_status_of_the_command("flock /home/l sh -c 'exit 7'; echo $?", "7")]
#[case::the_signal_of_the_command("flock /home/l sh -c 'kill -9 $$'; echo $?", "137")]
#[case::a_lock_that_is_free("flock -n /home/l echo mine", "mine")]
#[case::a_lock_that_is_taken("flock /home/l sleep 5 & sleep 1; flock -n /home/l echo mine; echo $?", "1")]
#[case::a_code_of_ones_own("flock /home/l sleep 5 & sleep 1; flock -n -E 75 /home/l true; echo $?", "75")]
#[case::joined("flock /home/l sleep 5 & sleep 1; flock --nb -E75 /home/l true; echo $?", "75")]
#[case::commands_of_a_shell("flock /home/l -c 'echo $((6 * 7)); date +%T'", "42\n12:00:00")]
#[case::who_waits("flock /home/l sleep 5 & sleep 1; flock /home/l date +%T", "12:00:05")]
#[case::who_waits_long_enough("flock /home/l sleep 5 & sleep 1; flock -w 4.5 /home/l date +%T", "12:00:05")]
#[case::who_does_not_wait_long_enough(
    "flock /home/l sleep 5 & sleep 1; flock -w 2.5 -E 3 /home/l true; echo $?; date +%T.%1N",
    "3\n12:00:03.5"
)]
#[case::one_after_the_other(
    "for i in 1 2 3; do flock /home/l sh -c \"sleep 2; date +'$i %T'\" & done; wait",
    "1 12:00:02\n2 12:00:04\n3 12:00:06"
)]
#[case::readers_together(
    "for i in 1 2; do flock -s /home/l sh -c \"sleep 2; date +'$i %T'\" & done; flock /home/l date +'3 %T'; wait",
    "1 12:00:02\n2 12:00:02\n3 12:00:02"
)]
#[case::two_files_are_two_locks("flock /home/l sleep 9 & sleep 1; flock -n /home/m date +%T", "12:00:01")]
#[case::a_directory("flock -n /home echo mine", "mine")]
#[case::a_descriptor_of_the_shell(
    "(flock 9; sleep 3) 9>/home/l & sleep 1; (flock -n 9 || echo taken; flock 9; date +%T) 9>/home/l",
    "taken\n12:00:03"
)]
#[case::a_descriptor_that_is_unlocked("exec 9>/home/l; flock 9; flock -u 9; flock -n /home/l echo free", "free")]
#[case::a_shell_that_closes_its_descriptor(
    "(flock 9; sleep 2; exec 9>&-; sleep 5) 9>/home/l & sleep 1; flock /home/l date +%T",
    "12:00:02"
)]
#[case::the_child_of_a_killed_one_keeps_the_lock(
    "flock /home/l sleep 9 & sleep 1; kill -9 $!; flock -n /home/l true; echo $?; flock /home/l date +%T",
    "1\n12:00:09"
)]
#[case::unless_it_is_not_given_it(
    "flock -o /home/l sleep 9 & sleep 1; kill -9 $!; sleep 1; flock -n /home/l date +%T",
    "12:00:02"
)]
#[case::a_signal_ends_who_waits(
    "flock /home/l sleep 9 & sleep 1; flock /home/l true & sleep 1; kill $!; wait $!; echo $?; date +%T",
    "143\n12:00:02"
)]
#[case::without_a_process_of_its_own(
    "flock -F /home/l sleep 9 & sleep 1; pgrep flock || pgrep -c sleep; flock /home/l date +%T",
    "1\n12:00:09"
)]
#[case::in_words(
    "flock /home/l sleep 5 & sleep 1; flock --verbose -n /home/l true; flock --verbose -w 2 /home/l true; \
     flock --verbose /home/l true",
    "flock: failed to get lock\nflock: timeout while waiting to get lock\n\
     flock: getting lock took 2.000000 seconds\nflock: executing true"
)]
#[case::no_such_directory(
    "flock /home/no/l true",
    "flock: cannot open lock file /home/no/l: No such file or directory\n? 66"
)]
#[case::no_such_command("flock /home/l no-such", "flock: failed to execute no-such: No such file or directory\n? 69")]
#[case::no_operand("flock -n 2>&1 | head -1", "flock: requires file descriptor, file or directory")]
#[case::no_descriptor("flock 77", "flock: 77: Bad file descriptor\n? 65")]
#[case::no_number("flock x", "flock: bad file descriptor: 'x'\n? 64")]
#[case::no_time("flock -w soon /home/l true", "flock: invalid timeout value: 'soon'\n? 64")]
#[case::no_code("flock -E 256 /home/l true", "flock: invalid exit code: '256'\n? 64")]
#[case::two_commands("flock /home/l -c a b", "flock: -c requires exactly one command argument\n? 64")]
#[case::an_option_that_it_does_not_know(
    "flock --fair /home/l true 2>&1 | head -1",
    "flock: unrecognized option '--fair' (this flock knows -s, -x, -u, -n, -w, -E, -o, -F, -c, --verbose)"
)]
fn flock_does_what_the_real_one_does(#[case] command: &str, #[case] answer: &str) {
    holds(&console(&format!("$ {command}\n{answer}"), options()));
}

#[test]
fn who_waits_for_a_lock_that_nobody_lets_go_of_is_named() {
    let outcome = console("$ exec 9>/home/l; flock 9; flock /home/l true", options());
    assert_ne!(outcome.verdict, Verdict::Holds);
    let shown = relapse::report::text(&outcome, relapse::expect::Style::Plain);
    assert!(shown.contains("flock /home/l true"), "{shown}");
}

/// Two units that want one lock: the second waits as long as the first one lives, however that ends.
#[rstest]
#[case::by_stop("systemctl stop first", "12:00:12.200")]
#[case::by_a_crash_of_both("kill -9 $(pgrep -x python)", "12:00:12.000")]
#[case::by_a_crash_of_flock_whose_child_is_then_ended("kill -9 $(systemctl show -P MainPID first)", "12:00:12.200")]
fn a_unit_waits_for_the_lock_of_another(#[case] end: &str, #[case] at: &str) {
    let document = format!(
        r#"# Locks

```toml scenario
kind = "behaviour"
clock = 2026-01-16T12:00:00
directory = "/home/app"
```

```toml program=uvicorn
path = "/home/app/python"
module = "uvicorn"
startup = ["1s"]
```

```ini unit=first.service
[Service]
WorkingDirectory=/home/app
ExecStart=/usr/bin/flock /home/app/lock /home/app/python -m uvicorn src.main:app --port 8000
```

```ini unit=second.service
[Service]
WorkingDirectory=/home/app
ExecStart=/usr/bin/flock /home/app/lock /home/app/python -m uvicorn src.main:app --port 8000
```

```console
$ systemctl start first
```

```console after=2s
$ systemctl start second; sleep 10
$ ps -C flock,python -o ppid,comm,unit --no-headers
      1 flock           first.service
   1001 python          first.service
      1 flock           second.service
$ {end}
```

```expect
eventually port 8000 owners = 1 within 5s
always second.service.NRestarts = 0 for 5s
```
"#
    );
    let outcome = run(&document, options());
    holds(&outcome);
    // flock started at once; what it runs, when the lock was free.
    let begins: Vec<String> = relapse::timeline::render(&outcome.timeline)
        .lines()
        .filter(|line| line.contains("second[") && line.contains(" start "))
        .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(begins, ["12:00:02.000", at]);
}
