//! Nothing survives a run, however it ends: no process, no port, no directory.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A run that goes on for ever, with a server, a polling client, shells, daemons and sleepers.
const ENDLESS: &str = r#"# Endless

```toml scenario
kind = "behaviour"
budget = "1000d"
client = { port = 8000, every = "100ms" }
```

```toml program=uvicorn
path = "/home/app/venv/bin/python"
startup = ["1s"]
log-file = "/home/app/app.log"
on-start = ["started"]
```

```ini unit=held.socket
[Socket]
ListenStream=8001
ListenStream=/run/held.sock
```

```ini unit=held.service
[Service]
ExecStart=/bin/sh -c '(sleep 1d; date) & exec /home/app/venv/bin/python --fd 3'
```

```console
$ systemctl start held.socket; (curl -s http://localhost:8001/health; sleep 1d) & true
$ /home/app/venv/bin/python -m uvicorn --host 127.0.0.1 --port 8000 >/dev/null 2>&1 & sh -c '(sleep 1d; date) &'; trap '' TERM; sleep 2
$ (while :; do sleep 0.5; (sleep 100 &); date >> /home/app/dates; done) & timeout 10000d sh -c 'while :; do sleep 1; kill -0 1; done'
```

```expect
always port 8000 owner = none for 1s
```
"#;

struct Harness {
    child: Child,
    directory: tempfile::TempDir,
}

fn start() -> Harness {
    let directory = tempfile::tempdir().expect("a directory");
    let runs = directory.path().join("runs");
    fs::create_dir(&runs).expect("a directory");
    let scenario = directory.path().join("endless.md");
    fs::write(&scenario, ENDLESS).expect("a file");
    let child = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .arg("run")
        .arg(&scenario)
        .env("TMPDIR", &runs)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("relapse starts");
    Harness { child, directory }
}

/// Processes that have the directory in their environment or command line.
fn processes_of(directory: &Path) -> Vec<String> {
    let needle = directory.to_string_lossy().into_owned();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| {
            let said = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', " ");
            let (environ, cmdline) = (text(&said("environ")), text(&said("cmdline")));
            (environ.contains(&needle) || cmdline.contains(&needle))
                .then(|| format!("{} {cmdline}", entry.file_name().to_string_lossy()))
        })
        .collect()
}

/// What is left once everybody had the time to go; the guard needs a moment after its run is gone.
fn left_over(directory: &Path) -> (Vec<String>, Vec<String>) {
    let patience = Instant::now();
    loop {
        let processes = processes_of(directory);
        let files: Vec<String> = fs::read_dir(directory.join("runs"))
            .map(|entries| entries.flatten().map(|entry| entry.path().display().to_string()).collect())
            .unwrap_or_default();
        if (processes.is_empty() && files.is_empty()) || patience.elapsed() > Duration::from_secs(20) {
            return (processes, files);
        }
        pause(Duration::from_millis(2));
    }
}

fn pause(span: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(span);
}

#[test]
fn a_harness_that_is_killed_at_any_moment_leaves_nothing() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut processes_seen = 0;
    for round in 0..50 {
        let mut harness = start();
        // xorshift: moments from 0 to 400 ms, from before the guard exists to well within the run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        pause(Duration::from_micros(seed % 400_000));
        processes_seen = processes_seen.max(processes_of(harness.directory.path()).len());
        harness.child.kill().expect("SIGKILL");
        harness.child.wait().expect("its end");
        let (processes, files) = left_over(harness.directory.path());
        assert!(processes.is_empty() && files.is_empty(), "round {round}: {processes:#?} {files:#?}");
    }
    assert!(processes_seen > 8, "the runs were not under way when they were killed: {processes_seen} processes");
}

#[test]
fn a_harness_that_is_asked_to_end_cleans_up_and_says_so_by_its_exit_code() {
    use std::os::unix::process::ExitStatusExt;
    for (signal, code) in [(nix::sys::signal::Signal::SIGINT, 130), (nix::sys::signal::Signal::SIGTERM, 143)] {
        let mut harness = start();
        let begin = Instant::now();
        while processes_of(harness.directory.path()).len() < 5 && begin.elapsed() < Duration::from_secs(20) {
            pause(Duration::from_millis(2));
        }
        let pid = i32::try_from(harness.child.id()).expect("a PID");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("the signal is sent");
        let status = harness.child.wait().expect("its end");
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        // Not "soon": when it has ended, everything is gone.
        let processes = processes_of(harness.directory.path());
        assert!(processes.is_empty(), "{processes:#?}");
        let (_, files) = left_over(harness.directory.path());
        assert!(files.is_empty(), "{files:#?}");
    }
}

#[test]
fn a_run_that_ends_in_good_order_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let runs = directory.path().join("runs");
    fs::create_dir(&runs).expect("a directory");
    let scenario = directory.path().join("short.md");
    fs::write(&scenario, ENDLESS.replace("timeout 10000d", "timeout 20").replace("kill -0 1; done'", "done'\n? 124"))
        .expect("a file");
    let status = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .arg("run")
        .arg(&scenario)
        .env("TMPDIR", &runs)
        .stderr(Stdio::null())
        .status()
        .expect("relapse runs");
    // The last claim is false on purpose: the server does listen.
    assert_eq!(status.code(), Some(1));
    assert_eq!(processes_of(directory.path()), Vec::<String>::new());
    assert_eq!(fs::read_dir(&runs).expect("the directory").count(), 0);
}

#[test]
fn a_guard_that_is_killed_leaves_nothing_either() {
    let mut harness = start();
    let guard = loop {
        let processes = processes_of(harness.directory.path());
        let guard = processes.iter().find(|process| process.contains("relapse-guard")).cloned();
        match guard.filter(|_| processes.len() > 8) {
            Some(guard) => break guard,
            None => pause(Duration::from_millis(2)),
        }
    };
    let pid: i32 = guard.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a PID");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("it is killed");
    let status = harness.child.wait().expect("its end");
    assert_eq!(status.code(), Some(2), "an error, not a verdict");
    let (processes, files) = left_over(harness.directory.path());
    assert!(processes.is_empty() && files.is_empty(), "{processes:#?} {files:#?}");
}
