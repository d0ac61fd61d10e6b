//! The guard: the process between a run and everything it starts.
//!
//! It is a child subreaper, so whatever daemonises or loses its parent becomes its child. It starts programs,
//! reaps them and tells the run. When the run's end of the socket closes, however that came about, it kills the
//! whole tree, removes the run's directory and ends.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::control::{Decoder, FromGuard, Status, ToGuard, send};
use crate::sys;

/// Runs the guard: standard input is its socket, `argv[1]` the run's directory.
pub fn main(args: &[String]) -> u8 {
    let Some(directory) = args.get(1) else {
        return 2;
    };
    match serve(directory) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("relapse guard: {error}");
            // Whatever went wrong here, the tree must not outlive it.
            kill_all();
            remove(directory);
            1
        }
    }
}

fn serve(directory: &str) -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    prctl::set_name(c"relapse-guard")?;
    // What is blocked or ignored here would be so in every program it starts; handlers are not inherited.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // Signals of a terminal are for the run; the guard ends when the run's socket closes.
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        signal_hook::flag::register(signal as i32, Arc::default())?;
    }
    let (mut signals, wake) = UnixStream::pair()?;
    signals.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(Signal::SIGCHLD as i32, wake)?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut decoder = Decoder::default();
    loop {
        let (run, child) = {
            let mut fds =
                [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            (ready(&fds[0]), ready(&fds[1]))
        };
        if child {
            while signals.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            reap(|pid, status| {
                // A run that is gone is noticed below.
                let _ = send(&mut socket, &FromGuard::Exited { pid, status });
            });
        }
        if run {
            let mut chunk = [0u8; 16384];
            match socket.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => decoder.push(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            while let Some(message) = decoder.take::<ToGuard>()? {
                match message {
                    ToGuard::Shutdown { keep } => {
                        let killed = kill_all();
                        if !keep {
                            remove(directory);
                        }
                        let _ = send(&mut socket, &FromGuard::Gone { killed });
                        return Ok(());
                    }
                    other => handle(&mut socket, other)?,
                }
            }
        }
    }
    kill_all();
    remove(directory);
    Ok(())
}

fn handle(socket: &mut UnixStream, message: ToGuard) -> io::Result<()> {
    match message {
        ToGuard::Spawn { id, program, argv, environment, directory, stdout, stderr } => {
            let answer = match spawn(&program, &argv, environment, &directory, &stdout, stderr.as_deref()) {
                Ok(pid) => FromGuard::Spawned { id, pid },
                Err(error) => FromGuard::SpawnFailed {
                    id,
                    chdir: !Path::new(&directory).is_dir(),
                    errno: error.raw_os_error().unwrap_or(0),
                },
            };
            send(socket, &answer)
        }
        ToGuard::Signal { pid, signal } => {
            sys::kill(pid, signal);
            Ok(())
        }
        ToGuard::Ping => {
            // Reap first: a Pong promises that every earlier end has been told.
            reap(|pid, status| {
                let _ = send(socket, &FromGuard::Exited { pid, status });
            });
            send(socket, &FromGuard::Pong)
        }
        ToGuard::Shutdown { .. } => Ok(()),
    }
}

fn spawn(
    program: &str,
    argv: &[String],
    environment: Vec<(String, String)>,
    directory: &str,
    stdout: &str,
    stderr: Option<&str>,
) -> io::Result<i32> {
    // A file, not a pipe: a grandchild that keeps a pipe open would hang the run.
    let open = |path: &str| OpenOptions::new().create(true).append(true).open(path);
    let out = open(stdout)?;
    let err = match stderr {
        Some(path) => open(path)?,
        None => out.try_clone()?,
    };
    let mut command = Command::new(program);
    if let Some((first, rest)) = argv.split_first() {
        command.arg0(first).args(rest);
    }
    let child = command
        .env_clear()
        .envs(environment)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()?;
    // The guard reaps by itself, through waitpid(-1).
    i32::try_from(child.id()).map_err(io::Error::other)
}

fn reap(mut tell: impl FnMut(i32, Status)) {
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                tell(pid.as_raw(), Status::Code(u8::try_from(code & 0xff).unwrap_or(0)))
            }
            Ok(WaitStatus::Signaled(pid, signal, true)) => tell(pid.as_raw(), Status::Dumped(signal as i32)),
            Ok(WaitStatus::Signaled(pid, signal, false)) => tell(pid.as_raw(), Status::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Kills until no child is left: children of the dead become children of the guard, so this ends only when the
/// whole tree is gone.
fn kill_all() -> u32 {
    let mut killed = 0;
    let me = std::process::id();
    loop {
        for pid in sys::process::descendants(me) {
            if sys::kill(pid, Signal::SIGKILL as i32) {
                killed += 1;
            }
        }
        match waitpid(None::<Pid>, None) {
            Err(Errno::ECHILD) => return killed,
            Err(Errno::EINTR) | Ok(_) => {
                reap(|_, _| {});
            }
            Err(_) => return killed,
        }
    }
}

fn remove(directory: &str) {
    // Only what the run has made: a directory of ours that was there when the guard began.
    if Path::new(directory).file_name().is_some_and(|name| name.to_string_lossy().starts_with("relapse-")) {
        let _ = std::fs::remove_dir_all(directory);
    }
}
