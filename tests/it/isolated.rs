//! The embedded manager in machines of its own (`--isolate`). Where there can be none, these tests say why and pass.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use relapse::{Isolation, Options, Scenario};
use rstest::rstest;

use crate::container::a_place_is_available;
use crate::lockstep::options;
use crate::on_systemd::{Cage, mounts, pause};

fn isolated() -> Options {
    Options { isolation: Isolation::Always, ..options() }
}

/// `relapse run ARGUMENTS` of a scenario.
fn relapse(text: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.md");
    fs::write(&file, text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .arg("run")
        .args(arguments)
        .arg(file)
        .env("TMPDIR", directory.path())
        .output()
        .expect("relapse runs");
    (output.status.code(), said(&output))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[rstest]
#[case("scenarios/incident.md")]
#[case("scenarios/fixes/kill-the-manual-process.md")]
#[case("scenarios/limits/start-limit-300s-5.md")]
#[case("scenarios/non-fixes/restart-the-service.md")]
fn a_run_in_a_machine_of_its_own_is_the_same_to_the_last_byte(#[case] path: &str) {
    if !a_place_is_available() {
        return;
    }
    let scenario = Scenario::load(path).unwrap_or_else(|error| panic!("{error}"));
    let mapped = scenario.record(&options()).expect("the run begins");
    let literal = scenario.record(&isolated()).expect("the run begins");
    assert_eq!(literal.outcome.verdict, mapped.outcome.verdict);
    assert_eq!(literal.outcome.timeline.to_jsonl(), mapped.outcome.timeline.to_jsonl());
    let journal = |run: &relapse::run::Run| run.journal.json_lines(252).collect::<Vec<_>>();
    assert_eq!(journal(&literal), journal(&mapped));
    let phases = |run: &relapse::run::Run| run.outcome.phases.clone();
    assert_eq!(phases(&literal), phases(&mapped));
    let printed = |run: &relapse::run::Run| run.outputs.iter().map(|output| output.text.clone()).collect::<Vec<_>>();
    assert_eq!(printed(&literal), printed(&mapped));
}

/// Nothing here is mapped: the kernel's own tables say port 8000 (1F40), the PID of the scenario, and its paths.
const LITERAL: &str = r#"# What programs of others see

```toml scenario
kind = "behaviour"
pid = 5001
directory = "/srv/app"
```

```toml program=server
path = "/usr/local/bin/server"
startup = ["1s"]
```

```ini unit=app.service
[Service]
ExecStart=/usr/local/bin/server --host 127.0.0.1 --port 8000
Restart=always
RestartSec=5
```

```sh file=/etc/app/kill.sh
#!/bin/sh
read -r pid < /run/app.pid
# The shell's own: the number is the kernel's.
command kill -s TERM "$pid"
```

```console
$ systemctl start app
```

```expect
eventually port 8000 owner = unit.MainPID within 5s
```

```console
$ systemctl show -P MainPID app | tee /run/app.pid
5002
$ grep -c ":1F40 00000000:0000 0A" /proc/net/tcp
1
$ tr '\0' ' ' < /proc/5002/cmdline; readlink /proc/5002/exe | grep -c relapse
/usr/local/bin/server --host 127.0.0.1 --port 8000 1
$ echo 8000 > /opt/port; cat /opt/port; ls /usr/local/bin/server
8000
/usr/local/bin/server
$ /etc/app/kill.sh
```

```expect
in order: killed SIGTERM, start, listening 8000
eventually unit.NRestarts = 1 within 9s
```
"#;

#[test]
fn ports_paths_and_pids_are_what_they_are_called() {
    if !a_place_is_available() {
        return;
    }
    let (code, said) = relapse(LITERAL, &["--isolate"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!Path::new("/opt/port").exists() && !Path::new("/usr/local/bin/server").exists());
}

#[test]
fn without_one_a_scenario_that_writes_to_the_host_is_refused_before_anything_starts() {
    let (code, said) = relapse(LITERAL, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("this would write to `/run/app.pid` on the host"), "{said}");
    assert!(said.contains("with --isolate anywhere"), "{said}");
}

#[test]
fn a_violated_claim_is_shown_at_its_line_as_ever() {
    if !a_place_is_available() {
        return;
    }
    let wrong = LITERAL.replace("unit.NRestarts = 1", "unit.NRestarts = 2");
    let (code, said) = relapse(&wrong, &["--isolate"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("eventually unit.NRestarts = 2 within 9s") && said.contains("a.md:"), "{said}");
    assert!(said.contains("relapse run --isolate "), "{said}");
}

#[test]
fn programs_that_sleep_on_their_own_are_named_there_too() {
    if !a_place_is_available() {
        return;
    }
    let sleeps = LITERAL.replace("/etc/app/kill.sh\n```", "mkfifo /tmp/f; bash -c 'read -t 100 <> /tmp/f'\n```");
    assert_ne!(sleeps, LITERAL);
    let (code, said) = relapse(&sleeps, &["--isolate"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cannot run in lock-step"), "{said}");
}

#[test]
fn a_run_directory_cannot_be_kept_and_the_artifacts_can() {
    let (code, said) = relapse(LITERAL, &["--isolate", "--keep"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("use --artifacts DIR"), "{said}");
    if !a_place_is_available() {
        return;
    }
    let kept = tempfile::tempdir().expect("a directory");
    let scenario = Scenario::load("scenarios/the-loop.md").unwrap_or_else(|error| panic!("{error}"));
    let run =
        scenario.record(&Options { artifacts: Some(kept.path().to_owned()), ..isolated() }).expect("the run begins");
    let directory = run.outcome.artifacts.expect("artefacts");
    for name in ["timeline.jsonl", "journal.jsonl", "console.log", "app.log"] {
        assert!(Path::new(&directory).join(name).metadata().is_ok_and(|meta| meta.len() > 100), "{name}");
    }
}

/// `relapse run ARGUMENTS` by somebody who may not make cgroups.
fn as_nobody(arguments: &[&str]) -> Output {
    // Somebody else has to reach what is in it, wherever $TMPDIR is.
    let directory = tempfile::Builder::new().prefix("anybody-").tempdir_in("/tmp").expect("a directory");
    let path = directory.path();
    fs::copy(env!("CARGO_BIN_EXE_relapse"), path.join("relapse")).expect("copied");
    fs::copy("scenarios/the-loop.md", path.join("loop.md")).expect("copied");
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("open");
    Command::new(path.join("relapse"))
        .arg("run")
        .args(arguments)
        .arg("loop.md")
        .current_dir(path)
        .env("TMPDIR", path)
        .uid(65534)
        .gid(65534)
        .output()
        .expect("relapse runs")
}

#[test]
fn who_may_not_is_told_what_to_do_or_has_ports_leased_if_that_will_do() {
    if !nix::unistd::geteuid().is_root() || !a_place_is_available() {
        return;
    }
    let refused = as_nobody(&["--isolate"]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert_eq!(said(&refused).lines().count(), 2, "{}", said(&refused));
    assert!(said(&refused).starts_with("a machine of its own needs a cgroup"), "{}", said(&refused));
    let mapped = as_nobody(&["--isolate=auto"]);
    assert_eq!(mapped.status.code(), Some(0), "{}", said(&mapped));
    assert!(said(&mapped).starts_with("not isolated: a machine of its own needs a cgroup"), "{}", said(&mapped));
    assert!(said(&mapped).contains("1 scenario: 1 holds"), "{}", said(&mapped));
}

#[test]
fn harnesses_that_are_killed_at_any_moment_leave_nothing_of_their_machines() {
    if !a_place_is_available() {
        return;
    }
    let (cage, before) = (Cage::new(), mounts());
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut machines_seen = 0;
    for round in 0..50 {
        let mut harness = cage.start(&["--isolate", "--clock", "scaled:5"]);
        // xorshift: moments from before the guard exists to well within the scenario.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        pause(std::time::Duration::from_micros(seed % 500_000));
        machines_seen +=
            usize::from(fs::read_dir(&cage.cgroup).expect("a cgroup").flatten().any(|entry| entry.path().is_dir()));
        harness.kill().expect("SIGKILL");
        harness.wait().expect("its end");
        assert_eq!(cage.left(), Vec::<String>::new(), "round {round}");
    }
    assert!(machines_seen > 15, "the kills came too early to prove anything: {machines_seen} machines");
    assert_eq!(mounts(), before);
}
