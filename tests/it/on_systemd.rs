//! Scenarios on a real systemd, where there is one (`tests/it/container.rs`).

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::container::available;

/// Three seconds a cycle, so that a few of them do not take long; what real programs take to start is little beside it.
const LOOP: &str = r#"# A short loop

```toml scenario
kind = "incident"
user = "app"
directory = "/home/app"
clock = 2026-01-16T12:00:00
pid = 5001
```

```toml program=uvicorn
path = "/home/app/venv/bin/python"
module = "uvicorn"
version = "0.40"
startup = ["1s"]
log-file = "/home/app/app.log"
on-start = ["started"]
```

```ini unit=app.service
[Service]
User=app
ExecStart=/home/app/venv/bin/python -m uvicorn main:app --host 0.0.0.0 --port 8000
Restart=always
RestartSec=2
StartLimitIntervalSec=0
```

```console
$ venv/bin/python -m uvicorn main:app --host 0.0.0.0 --port 8000 &
```

```expect
eventually port 8000 owner != none within 3s
```

```console
$ pgrep -f "uvicorn main:app"
[MANUAL]
$ sudo systemctl start app
$ sleep 1s; date +%F
2026-01-16
```

```expect
5x log "started" every 2.5s .. 4s
each cycle: start, log "started", refused 8000, log "address already in use", exit 1, restart in 2s
in order: journal "Scheduled restart job, restart counter is at 1.", journal "Stopped app.service", journal "Started app.service"
always port 8000 owner = [MANUAL] for 6s
```

```console
$ kill $MANUAL
```

```expect
in order: [MANUAL] killed SIGTERM, start, listening 8000
eventually port 8000 owner = unit.MainPID within 6s
```

```console
$ systemctl is-active app; lsof -t -i :8000 | wc -l; ps -o user= -p $(lsof -t -i :8000)
active
1
app
$ systemctl enable app 2>&1
The unit files have no installation config [..]
...
$ sudo systemctl reboot
```

```expect
never start for 3s
always port 8000 owner = none for 3s
```
"#;

fn relapse(directory: &Path, arguments: &[&str]) -> Output {
    fs::write(directory.join("loop.md"), LOOP).expect("written");
    Command::new(env!("CARGO_BIN_EXE_relapse"))
        .arg("run")
        .args(arguments)
        .arg(directory.join("loop.md"))
        .env("TMPDIR", directory)
        .output()
        .expect("relapse runs")
}

/// A wall clock on a machine with much else to do may be too slow to tell; it says so, and is asked again.
fn decided(run: impl Fn() -> Output) -> (Option<i32>, String, Output) {
    for _ in 0..10 {
        let output = run();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(3) || !said.contains("inconclusive") {
            return (output.status.code(), said, output);
        }
    }
    panic!("this machine is too slow for a wall clock: ten runs were inconclusive");
}

#[test]
fn a_scenario_holds_on_both_managers() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&[][..], &["--manager", "systemd"], &["--manager", "systemd", "--clock", "scaled:2"]] {
        if !arguments.is_empty() && !available() {
            return;
        }
        let (code, said, _) = decided(|| relapse(directory.path(), arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(said.contains("1 scenario: 1 holds"), "{said}");
    }
}

#[test]
fn somebody_without_privileges_who_has_a_cgroup_may_too() {
    if !nix::unistd::geteuid().is_root() || !available() {
        return;
    }
    let cage = Cage::new();
    // There is no second user in such a machine.
    let scenario = LOOP.replace("; ps -o user= -p $(lsof -t -i :8000)", "").replace("1\napp\n", "1\n");
    let path = cage.directory.path();
    fs::write(path.join("loop.md"), scenario).expect("written");
    fs::copy(env!("CARGO_BIN_EXE_relapse"), path.join("relapse")).expect("copied");
    let somebody = nix::unistd::Uid::from_raw(65534);
    let group = nix::unistd::Gid::from_raw(65534);
    for file in [path.to_owned(), path.join("runs"), cage.cgroup.clone(), cage.cgroup.join("cgroup.procs")] {
        nix::unistd::chown(&file, Some(somebody), Some(group)).expect("given away");
    }
    let line = r#"echo $$ > "$0/cgroup.procs" && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@""#;
    for arguments in [&["--manager", "systemd"][..], &["--isolate"]] {
        let (code, said, _) = decided(|| {
            Command::new("/bin/sh")
                .args(["-c", line])
                .arg(&cage.cgroup)
                .arg(path.join("relapse"))
                .arg("run")
                .args(arguments)
                .arg("loop.md")
                .current_dir(path)
                .env("TMPDIR", path.join("runs"))
                .output()
                .expect("a shell")
        });
        // Where user namespaces are not permitted, that is what it says.
        let refused = code == Some(3) && said.contains("no machine of its own can be made here");
        assert!(code == Some(0) || refused, "{arguments:?}: {said}");
        assert_eq!(cage.left(), Vec::<String>::new());
    }
}

#[test]
fn a_claim_that_does_not_hold_is_violated_there_too() {
    if !available() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let wrong = LOOP.replace("exit 1, restart in 2s", "exit 1, restart in 3s");
    fs::write(directory.path().join("wrong.md"), wrong).expect("written");
    let (code, said, output) = decided(|| {
        Command::new(env!("CARGO_BIN_EXE_relapse"))
            .args(["run", "--manager", "systemd", "--format", "json"])
            .arg(directory.path().join("wrong.md"))
            .output()
            .expect("relapse runs")
    });
    assert_eq!(code, Some(1), "{said}");
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(outcome["verdict"], "violated");
    assert_eq!(outcome["manager"], "systemd");
    assert_eq!(outcome["clock"], "scaled:5");
}

#[test]
fn lock_step_is_refused_in_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = relapse(directory.path(), &["--manager", "systemd", "--clock", "virtual"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "error: a real systemd cannot run in lock-step; run with --clock scaled:5 or --clock real\n");
}

#[test]
fn who_may_not_is_told_in_two_lines_what_to_do() {
    if !nix::unistd::geteuid().is_root() || !available() {
        return;
    }
    // Somebody else has to reach what is in it, wherever $TMPDIR is.
    let directory = tempfile::Builder::new().prefix("anybody-").tempdir_in("/tmp").expect("a directory");

    let executable = directory.path().join("relapse");
    fs::copy(env!("CARGO_BIN_EXE_relapse"), &executable).expect("copied");
    fs::write(directory.path().join("loop.md"), LOOP).expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(directory.path(), open).expect("open");
    let output = Command::new(&executable)
        .args(["run", "--manager", "systemd", "loop.md"])
        .current_dir(directory.path())
        .env("TMPDIR", directory.path())
        .uid(65534)
        .gid(65534)
        .output()
        .expect("relapse runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let [what, remedy] = lines[..] else { panic!("{said}") };
    assert!(what.starts_with("a machine of its own needs a cgroup, and /sys/fs/cgroup"), "{said}");
    assert_eq!(remedy, "run it as root, or have one delegated: systemd-run --user --scope -p Delegate=yes relapse …");
    let left: Vec<_> =
        fs::read_dir(directory.path()).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// Programs that are none of ours: systemd alone tells of them.
const FOREIGN: &str = r#"# Programs that are no stand-ins

```toml scenario
kind = "behaviour"
clock = 2026-01-16T12:00:00
```

```ini unit=job.service
[Service]
ExecStart=/bin/sh -c 'echo begin; sleep 1; echo end >&2; exit 3'
Restart=on-failure
RestartSec=1
StartLimitIntervalSec=0
```

```console
$ systemctl start job
```

```expect
4x start every 1.9s .. 3s
each cycle: start, log "begin", log "end", exit 3, restart in 1s
```

```console
$ systemctl stop job
```

```expect
never start for 7s
```
"#;

#[test]
fn programs_of_others_are_told_of_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("foreign.md");
    fs::write(&file, FOREIGN).expect("written");
    for manager in ["embedded", "systemd"] {
        if manager == "systemd" && !available() {
            return;
        }
        let (code, said, _) = decided(|| {
            Command::new(env!("CARGO_BIN_EXE_relapse"))
                .args(["run", "--manager", manager])
                .arg(&file)
                .output()
                .expect("relapse runs")
        });
        assert_eq!(code, Some(0), "{said}");
    }
}

/// A cgroup of the test's own: whatever the harness starts is in it, or below.
pub struct Cage {
    pub cgroup: PathBuf,
    pub directory: tempfile::TempDir,
}

impl Cage {
    pub fn new() -> Cage {
        // Somebody else may have to reach what is in it, wherever $TMPDIR is.
        let directory = tempfile::Builder::new().prefix("cage-").tempdir_in("/tmp").expect("a directory");
        let own = relapse::run::own_cgroup().expect("a cgroup");
        let cgroup = own.join(directory.path().file_name().expect("a name"));
        fs::create_dir(&cgroup).expect("a cgroup");
        fs::write(directory.path().join("loop.md"), LOOP).expect("written");
        fs::create_dir(directory.path().join("runs")).expect("a directory");
        Cage { cgroup, directory }
    }

    pub fn start(&self, arguments: &[&str]) -> std::process::Child {
        let path = self.directory.path();
        Command::new("/bin/sh")
            .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#])
            .arg(&self.cgroup)
            .arg(env!("CARGO_BIN_EXE_relapse"))
            .arg("run")
            .args(arguments)
            .arg(path.join("loop.md"))
            .env("TMPDIR", path.join("runs"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell")
    }

    /// Processes, cgroups and files that are left once everybody had the time to go.
    pub fn left(&self) -> Vec<String> {
        let patience = Instant::now();
        loop {
            let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            let events = fs::read_to_string(self.cgroup.join("cgroup.events")).unwrap_or_default();
            let mut left: Vec<String> = below(&self.cgroup)
                .filter(|path| path.is_dir())
                .chain(below(&self.directory.path().join("runs")))
                .map(|path| path.display().to_string())
                .collect();
            left.extend(events.contains("populated 1").then(|| "processes".to_owned()));
            if left.is_empty() || patience.elapsed() > Duration::from_secs(20) {
                return left;
            }
            pause(Duration::from_millis(2));
        }
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        let _ = fs::remove_dir(&self.cgroup);
    }
}

pub fn pause(span: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(span);
}

pub fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").expect("mounts").lines().filter(|line| line.contains("relapse")).count()
}

#[test]
fn a_hundred_harnesses_that_are_killed_at_any_moment_leave_no_process_no_mount_and_no_cgroup() {
    if !available() {
        return;
    }
    let (cage, before) = (Cage::new(), mounts());
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut machines_seen = 0;
    for round in 0..100 {
        let mut harness = cage.start(&["--manager", "systemd"]);
        // xorshift: moments from before the guard exists to well within the scenario.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        pause(Duration::from_micros(seed % 900_000));
        machines_seen +=
            usize::from(fs::read_dir(&cage.cgroup).expect("a cgroup").flatten().any(|entry| entry.path().is_dir()));
        harness.kill().expect("SIGKILL");
        harness.wait().expect("its end");
        assert_eq!(cage.left(), Vec::<String>::new(), "round {round}");
    }
    assert!(machines_seen > 20, "the kills came too early to prove anything: {machines_seen} machines");
    assert_eq!(mounts(), before);
}

#[test]
fn every_scenario_has_its_row_in_the_table_of_both_managers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let text = fs::read_to_string(root.join("README.md")).expect("the format's reference");
    let table = text.split("conform --scenarios: ").nth(1).expect("between two marks");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| [")).collect();
    let mut open = vec![root.clone()];
    let mut wanted = 0;
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path()) {
            let name = path.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".md") && name != "README.md" {
                wanted += 1;
                assert_eq!(rows.iter().filter(|row| row.contains(&format!("]({name})"))).count(), 1, "{name}");
            }
        }
    }
    assert_eq!(rows.len(), wanted, "a row for a scenario that is gone");
}
