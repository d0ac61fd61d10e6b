//! What `relapse diagnose` looks at: this host's sockets, processes and control groups, and programs that it asks.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use relapse::sys::cgroup::of_table;
use relapse::sys::listening::{Listening, from_proc, listening, over_netlink};
use relapse::sys::processes::{Proc, Search, owners, status};
use rstest::rstest;

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a PID")
}

/// A listener on an address of this host; `None` where the host has no such family.
fn listens(address: &str) -> Option<(TcpListener, u16)> {
    let listener = TcpListener::bind((address, 0)).ok()?;
    let port = listener.local_addr().ok()?.port();
    Some((listener, port))
}

#[test]
fn netlink_and_proc_tell_the_same_of_sockets_that_listen() {
    for address in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
        let Some((_listener, port)) = listens(address) else { continue };
        let (found, _) = listening(Some(port)).expect("a kernel");
        let [socket] = found.as_slice() else { panic!("one socket: {found:?}") };
        assert_eq!((socket.address.to_string().as_str(), socket.port), (address, port));
        assert_eq!(socket.uid, nix::unistd::geteuid().as_raw());
        let plain = Listening { v6_only: None, backlog: 0, cgroup: None, ..socket.clone() };
        assert_eq!(from_proc(Some(port)).expect("/proc"), [plain]);
        // Where netlink is not permitted there is nothing to compare.
        if let Ok(found) = over_netlink(Some(port)) {
            assert_eq!(found, std::slice::from_ref(socket));
            assert_eq!(socket.v6_only.is_some(), socket.address.is_ipv6());
        }
    }
    let Some((listener, port)) = listens("127.0.0.1") else { panic!("no loopback") };
    let all = listening(None).expect("a kernel").0;
    assert!(all.iter().any(|socket| socket.port == port));
    drop(listener);
    assert_eq!(listening(Some(port)).expect("a kernel").0, []);
}

#[test]
fn the_owner_of_a_socket_is_found_at_once_and_among_all() {
    let (_listener, port) = listens("127.0.0.1").expect("a port");
    let (sockets, _) = listening(Some(port)).expect("a kernel");
    let proc = Proc::open().expect("/proc");
    for search in [Search::First, Search::All] {
        let found = owners(&proc, &sockets, search).expect("/proc").found;
        assert!(found.contains(&(sockets[0].inode, own_pid())), "{search:?}: {found:?}");
    }
    let nobody = Listening { inode: u64::MAX, ..sockets[0].clone() };
    assert!(owners(&proc, &[nobody], Search::First).expect("/proc").found.is_empty());
    assert!(owners(&proc, &[], Search::First).expect("/proc").found.is_empty());
}

#[test]
fn a_socket_beyond_a_gap_in_the_numbers_of_descriptors_is_found() {
    // The listener is standard input of a shell that moves it to number 200.
    let (listener, port) = listens("127.0.0.1").expect("a port");
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let script =
        "exec 200<&0 0</dev/null; until [ -e \"$2\" ]; do :; done; exec \"$0\" diagnose --holder --port \"$1\"";
    let mut shell = Command::new("/bin/bash");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_relapse"), &port.to_string()])
        .arg(&gate)
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::piped());
    let child = shell.spawn().expect("a shell");
    // It has a copy of the listener for itself.
    drop(shell);
    fs::write(gate, "").expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!(" 127.0.0.1:{port} ")), "{said}");
    assert!(said.contains("diagnose --holder"), "it is its own holder: {said}");
}

fn output_of(command: &mut Command) -> Output {
    command.output().expect("it runs")
}

#[test]
fn command_lines_and_the_status_of_processes_are_read() {
    let mut own = None;
    let proc = Proc::open().expect("/proc");
    proc.command_lines(|pid, line| {
        if pid == own_pid() {
            own = Some(line.to_owned());
        }
    })
    .expect("/proc");
    assert_eq!(own, Some(fs::read("/proc/self/cmdline").expect("/proc")));
    let seen = status(own_pid()).expect("it is here");
    assert_eq!(seen.ppid, nix::unistd::getppid().as_raw());
    assert_eq!(seen.uid, nix::unistd::getuid().as_raw());
    assert_eq!(status(i32::MAX), None);
}

#[rstest]
#[case::unified("0::/system.slice/a.service\n", Some("/system.slice/a.service"))]
#[case::hybrid(
    "4:memory:/x\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n",
    Some("/system.slice/a.service")
)]
#[case::version_1("4:memory:/x\n1:name=systemd:/system.slice/a.service\n0::/\n", Some("/system.slice/a.service"))]
#[case::neither("0::/\n", Some("/"))]
#[case::with_colons("0::/a::b\n", Some("/a::b"))]
#[case::nothing("", None)]
#[case::rubbish("x\ny::z\n", None)]
fn a_table_of_control_groups_is_read(#[case] table: &str, #[case] path: Option<&str>) {
    assert_eq!(of_table(table).as_deref(), path);
}

/// `relapse diagnose` where these scripts are what it asks.
fn diagnose(directory: &Path, systemctl: &str, journalctl: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    for (name, text) in [("systemctl", systemctl), ("journalctl", journalctl)] {
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
    }
    let path = format!("{}:/usr/bin:/bin", directory.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
    let output = output_of(command.arg("diagnose").args(arguments).env("PATH", path));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A systemctl that shows the unit of the incident, with a port of ours.
fn shows(port: u16) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = format!("{root}/fixtures/logs/incident/cycle1-autorestart.show.txt");
    format!(
        "case \"$1\" in --version) echo systemd 252;; show) sed 's/--port 8000/--port {port}/' {file};; *) exit 9;; esac"
    )
}

fn journal(port: u16) -> String {
    let file = format!("{}/fixtures/logs/incident.journal.json", env!("CARGO_MANIFEST_DIR"));
    format!("case \"$*\" in *--grep*) exit 1;; esac; sed \"s/', 8000)/', {port})/\" {file}")
}

#[test]
fn from_systemctl_and_journalctl_to_the_verdict() {
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, port) = listens("0.0.0.0").expect("a port");
    let (code, out, err) = diagnose(directory.path(), &shows(port), &journal(port), &["lumiera-whatsapp"]);
    assert_eq!(code, Some(1), "{out}{err}");
    let first = out.lines().next().unwrap_or_default();
    let start = format!("PROBLEM: lumiera-whatsapp.service cannot have port {port}: ");
    assert!(first.starts_with(&start), "{out}");
    assert!(out.contains(&format!("    pid {}  ", own_pid())), "{out}");
    assert!(out.contains("restarts  every 14.6s"), "{out}");
    // Without its journal that is a guess, and it says so.
    let (code, out, _) = diagnose(directory.path(), &shows(port), "exit 0", &["lumiera-whatsapp"]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with(&start.replace(": ", " (likely): ").replace("PROBLEM (likely)", "PROBLEM")), "{out}");
    assert!(out.contains("The journal of lumiera-whatsapp.service: nothing in it can be read."), "{out}");
    // Nobody is in its way: then it is not a fight, whatever the journal says.
    drop(listener);
    let (code, out, _) = diagnose(directory.path(), &shows(port), &journal(port), &["lumiera-whatsapp"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("it is free now"), "{out}");
}

#[rstest]
#[case::floods("yes 'Id=a.service'", &["app"], 2, "error: systemctl says more than can be taken in")]
#[case::not_found("printf 'Id=app.service\\nLoadState=not-found\\n'", &["app"], 2, "error: there is no unit app.service; ")]
#[case::fails("echo 'Failed to connect to bus: No such file or directory' >&2; exit 1", &["app"], 2, "error: systemd does not answer: Failed to connect to bus: No such file or directory\n")]
#[case::escapes("printf '\\033[2Jx\\n' >&2; exit 1", &["app"], 2, "error: systemd does not answer: ␛[2Jx\n")]
#[case::no_unit("exit 0", &["a/b"], 2, "error: invalid value 'a/b' for '[UNIT]': expected the name of a service or a socket unit, such as app.service")]
#[case::no_service("exit 0", &["a.mount"], 2, "error: invalid value 'a.mount'")]
#[case::no_port("exit 0", &["--port", "0"], 2, "error: invalid value '0' for '--port <N>'")]
#[case::holder_of_nothing("exit 0", &["--holder"], 2, "error: the following required arguments were not provided")]
fn what_cannot_be_looked_at_is_an_error_that_says_so(
    #[case] systemctl: &str,
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] said: &str,
) {
    let directory = tempfile::tempdir().expect("a directory");
    let (found, out, err) = diagnose(directory.path(), systemctl, "exit 1", arguments);
    assert_eq!(found, Some(code), "{out}{err}");
    assert!(err.starts_with(said), "{err}");
    assert_eq!(out, "");
}

#[test]
fn who_has_a_port_is_told_without_asking_systemd() {
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, port) = listens("127.0.0.1").expect("a port");
    let port = port.to_string();
    let asked = format!("touch {}/asked", directory.path().display());
    let (code, out, _) = diagnose(directory.path(), &asked, &asked, &["--holder", "--port", &port]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with(&format!("{} 127.0.0.1:{port} ", own_pid())), "{out}");
    drop(listener);
    let (code, out, err) = diagnose(directory.path(), &asked, &asked, &["--holder", "--port", &port]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert_eq!(err, format!("nobody listens on port {port}\n"));
    assert!(!directory.path().join("asked").exists());
}
