//! The keeper of a run's own machine: the processes between the run's guard and the machine's PID 1.
//!
//! ```text
//! relapse-guard            outside: kills all of it when the run ends, however that comes about
//! └─ relapse-keeper        cgroup, mount, network, IPC and UTS namespaces: what outlives a reboot
//!    └─ relapse-boot       one a boot: a PID namespace, and mounts of its own
//!       ├─ relapse-init    PID 1: mounts /proc and becomes systemd, or reaps
//!       └─ relapse-guard   inside: starts what operators type, and tells how it ends
//! ```
//!
//! Each dies with its parent (`PR_SET_PDEATHSIG`), and with PID 1 the kernel kills everybody in the namespace.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve};

use super::GUARD;
use crate::control::{Decoder, FromKeeper, Init, Keep, ToKeeper, receive, send};
use crate::sys::namespace;

/// `argv[0]` of the keeper.
pub const KEEPER: &str = "relapse-keeper";
pub(super) const BOOT: &str = "relapse-boot";
pub(super) const INIT: &str = "relapse-init";

/// Our executable within a machine.
pub(crate) const EXECUTABLE: &str = "/relapse/bin/relapse";
/// Where the inner guard finds the run.
pub(crate) const GUARD_SOCKET: &str = "/relapse/guard";

/// Runs the keeper: standard input is its socket.
pub(super) fn keep() -> u8 {
    let served = die_with_parent().and_then(|()| {
        let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        serve(&mut socket)
    });
    u8::from(served.is_err())
}

/// From here on the end of whoever has started this process ends it, too.
fn die_with_parent() -> io::Result<()> {
    let before = parent_id();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if parent_id() == before { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}

fn serve(socket: &mut UnixStream) -> io::Result<()> {
    let mut decoder = Decoder::default();
    while let Some(message) = receive::<ToKeeper>(socket, &mut decoder)? {
        match message {
            ToKeeper::Make(keep) => {
                let answer = match make(&keep) {
                    Ok(()) => FromKeeper::Made,
                    Err(error) => FromKeeper::Failed { why: error.to_string() },
                };
                send(socket, &answer)?;
            }
            ToKeeper::Beside { argv, environment } => {
                // It ends with the keeper, whose child it is: the guard kills both.
                let (first, rest) = argv.split_first().ok_or_else(|| io::Error::other("no program"))?;
                Command::new(EXECUTABLE)
                    .arg0(first)
                    .args(rest)
                    .env_clear()
                    .envs(environment)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .spawn()?;
                send(socket, &FromKeeper::Made)?;
            }
            ToKeeper::Boot(init) => {
                let mut command = Command::new(EXECUTABLE);
                command.arg0(BOOT).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
                if let Init::Systemd(path) = &init {
                    command.arg(path);
                }
                let mut child = command.spawn()?;
                let mut said = String::new();
                if let Some(out) = child.stdout.take() {
                    BufReader::new(out).read_line(&mut said)?;
                }
                send(
                    socket,
                    &match said.trim().parse() {
                        Ok(init) => FromKeeper::Booted { init },
                        Err(_) => FromKeeper::Failed { why: said.trim().to_owned() },
                    },
                )?;
                child.wait()?;
                send(socket, &FromKeeper::Down)?;
            }
        }
    }
    Ok(())
}

fn make(keep: &Keep) -> io::Result<()> {
    let what =
        |what: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("cannot {what}: {error}"));
    namespace::enter_cgroup(&keep.cgroup).map_err(what("enter the machine's cgroup"))?;
    namespace::enter().map_err(what("make namespaces"))?;
    // cgroups(7), "no internal processes": the root of the machine's cgroups is for its systemd alone.
    let console = keep.cgroup.join("console");
    std::fs::create_dir(&console).and_then(|()| namespace::enter_cgroup(&console)).map_err(what("make a cgroup"))?;
    namespace::bring_up_loopback().map_err(what("bring up the loopback"))?;
    namespace::build(&keep.root)
}

/// Boots the machine; says PID 1 on standard output, or what went wrong; ends with the machine.
pub(super) fn boot(args: &[String]) -> u8 {
    match start(args.get(1)) {
        Ok(init) => {
            println_once(&init.to_string());
            // Also the guard within, whose parent this is: PID 1 does not end before everybody there is reaped.
            while !matches!(waitpid(None::<Pid>, None), Ok(ended) if ended.pid() == Some(Pid::from_raw(init))) {}
            0
        }
        Err(error) => {
            println_once(&error.to_string());
            1
        }
    }
}

fn println_once(line: &str) {
    let _ = writeln!(io::stdout(), "{}", line.replace('\n', " "));
}

fn start(systemd: Option<&String>) -> io::Result<i32> {
    die_with_parent()?;
    namespace::enter_pids()?;
    let mut init = Command::new(EXECUTABLE)
        .arg0(INIT)
        .args(systemd)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    if let Some(out) = init.stdout.take() {
        BufReader::new(out).read_line(&mut said)?;
    }
    if said.trim() != "ready" {
        return Err(io::Error::other(if said.is_empty() { "PID 1 has ended".to_owned() } else { said }));
    }
    let pid = i32::try_from(init.id()).map_err(io::Error::other)?;
    // It ends with the machine; nobody but the run has to hear of it.
    Command::new(EXECUTABLE)
        .arg0(GUARD)
        .args(["/relapse", "--connect", GUARD_SOCKET])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    Ok(pid)
}

/// Runs PID 1.
pub(super) fn init(args: &[String]) -> u8 {
    // Its parent is of another namespace: getppid(2) is 0 whether it lives or not.
    let ready = prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(io::Error::from)
        .and_then(|()| namespace::mount_proc())
        .and_then(|()| namespace::enter_cgroup(Path::new("/sys/fs/cgroup")));
    match ready {
        Ok(()) => println_once("ready"),
        Err(error) => {
            println_once(&error.to_string());
            return 1;
        }
    }
    match args.get(1) {
        Some(systemd) => become_systemd(systemd).map_or(1, |never| match never {}),
        None => reap(),
    }
}

fn become_systemd(path: &str) -> io::Result<Infallible> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    let text = |text: &str| CString::new(text).map_err(io::Error::other);
    // Its messages belong in the journal, and a container has no console to show its state on.
    let arguments =
        ["systemd", "--system", "--log-target=journal-or-kmsg", "--show-status=0", "--unit=graphical.target"];
    let arguments = arguments.into_iter().map(text).collect::<io::Result<Vec<_>>>()?;
    let variables =
        [text("container=relapse")?, text("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")?];
    Ok(execve(&text(path)?, &arguments, &variables)?)
}

fn reap() -> u8 {
    loop {
        match waitpid(None::<Pid>, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Nobody is left, or nobody has come yet.
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    }
}
