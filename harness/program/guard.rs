//! The guard: the process between a run and everything it starts.
//!
//! It is a child subreaper, so whatever daemonises or loses its parent becomes its child. It starts programs,
//! reaps them and tells the run. When the run's end of the socket closes, however that came about, it kills the
//! whole tree, removes the run's directory and ends.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, close};

use crate::control::{Decoder, FromGuard, Launch, Sink, Status, Step, ToGuard, send};
use crate::program::exec;
use crate::sys::{self, socket::receive_with};

/// What a guard guards.
struct Guarded {
    /// The run's directory.
    directory: String,
    /// The cgroup of the run's own machine.
    cgroup: Option<PathBuf>,
    /// It is within a machine, whose namespaces contain it.
    inside: Option<String>,
    /// So is the run itself.
    free: bool,
}

/// Runs the guard: `argv[1]` is the run's directory, `--cgroup` names the cgroup of its machine, standard input is the
/// socket, unless `--connect` names another. With `--free` whatever it starts may signal whom it sees.
pub fn main(args: &[String]) -> u8 {
    let Some(directory) = args.get(1).cloned() else {
        return 2;
    };
    let option = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    let free = args.iter().any(|arg| arg == "--free");
    let guarded =
        Guarded { directory, cgroup: option("--cgroup").map(PathBuf::from), inside: option("--connect"), free };
    match serve(&guarded) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("relapse guard: {error}");
            // Whatever went wrong here, the tree must not outlive it.
            kill_all();
            remove(&guarded);
            1
        }
    }
}

fn serve(guarded: &Guarded) -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    prctl::set_name(c"relapse-guard")?;
    // What is blocked or ignored here would be so in every program it starts; handlers are not inherited.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // Signals of a terminal are for the run; the guard ends when the run's socket closes.
    // Within a machine it goes down with that: there SIGTERM is what everybody gets then.
    let term = guarded.inside.is_none().then_some(Signal::SIGTERM);
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT].into_iter().chain(term) {
        signal_hook::flag::register(signal as i32, Arc::default())?;
    }
    // A program that signals by a number of its own finds nobody who is not of the run. Kernels that cannot do that
    // leave it to our `kill` and to what the shells of a run are told.
    if guarded.cgroup.is_none() && guarded.inside.is_none() && !guarded.free {
        sys::contain::signals();
    }
    let (mut signals, wake) = UnixStream::pair()?;
    signals.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(Signal::SIGCHLD as i32, wake)?;
    let mut socket = match &guarded.inside {
        Some(path) => UnixStream::connect(path)?,
        None => UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?),
    };
    if guarded.inside.is_none() {
        // As mkdtemp(3) makes it; whatever is there already is somebody else's.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&guarded.directory);
        if let Err(error) = made {
            return send(&mut socket, &FromGuard::NoDirectory { errno: errno_of(error) as i32 });
        }
        if send(&mut socket, &FromGuard::Ready).is_err() {
            remove(guarded);
            return Ok(());
        }
    }
    let mut decoder = Decoder::default();
    let mut passed = VecDeque::new();
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
            match receive_with(&socket, &mut chunk, &mut passed) {
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
                            remove(guarded);
                        }
                        let _ = send(&mut socket, &FromGuard::Gone { killed });
                        return Ok(());
                    }
                    other => handle(&mut socket, other, &mut passed)?,
                }
            }
        }
    }
    kill_all();
    remove(guarded);
    Ok(())
}

fn handle(socket: &mut UnixStream, message: ToGuard, passed: &mut VecDeque<RawFd>) -> io::Result<()> {
    match message {
        ToGuard::Spawn { id, launch } => {
            // They have come with its first bytes.
            let count = passed.len().min(usize::try_from(launch.descriptors).unwrap_or(usize::MAX));
            let passed = Passed(passed.drain(..count).collect());
            let answer = match spawn(launch, &passed.0) {
                Ok(pid) => FromGuard::Spawned { id, pid: pid.as_raw() },
                Err((step, errno)) => FromGuard::SpawnFailed { id, step, errno: errno as i32 },
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

/// Descriptors on their way to a program, closed once it has them.
struct Passed(Vec<RawFd>);

impl Drop for Passed {
    fn drop(&mut self) {
        for fd in self.0.drain(..) {
            let _ = close(fd);
        }
    }
}

/// Starts a program. Not with `std::process`, which always gives SIGPIPE back its default action: a Rust program
/// ignores it, and so does what is spawned here unless it is told otherwise. The guard has a single thread, so that it
/// may go to the directory and set the mask for its child.
fn spawn(launch: Launch, passed: &[RawFd]) -> Result<Pid, (Step, Errno)> {
    let Launch { program, argv, environment, ignore_sigpipe, socket_streams, .. } = launch;
    let at = |step| move |errno: Errno| (step, errno);
    let exec = at(Step::Exec);
    let nothing = File::open("/dev/null").map_err(errno_of).map_err(exec)?;
    let _files = Mask::set(launch.umask);
    let out = open(&launch.stdout).map_err(at(Step::Stdout))?;
    let err = launch.stderr.as_ref().map(open).transpose().map_err(at(Step::Stderr))?;
    // Whoever has to know its own PID begins as one of us, which sets the variables and executes the program.
    let stage = launch.own_pid.then(exec::Stage::new).transpose().map_err(errno_of).map_err(exec)?;
    chdir(launch.directory.as_str()).map_err(at(Step::Chdir))?;
    let started = (|| {
        let mut files = PosixSpawnFileActions::init()?;
        let input = stage.as_ref().map_or(nothing.as_raw_fd(), |stage| stage.report().as_raw_fd());
        let (first, passed) = match passed.split_first() {
            Some((first, rest)) if socket_streams.contains(&true) => (Some(*first), rest),
            _ => (None, passed),
        };
        let ordinary = [input, out.as_raw_fd(), err.as_ref().unwrap_or(&out).as_raw_fd()];
        for ((number, ordinary), is_socket) in (0..).zip(ordinary).zip(socket_streams) {
            files.add_dup2(first.filter(|_| is_socket).unwrap_or(ordinary), number)?;
        }
        // By way of numbers that nobody has, as one may have to go where another one is.
        let count = RawFd::try_from(passed.len()).map_err(|_| Errno::EMFILE)?;
        let free = passed.iter().max().map_or(0, |most| most.max(&(2 + count)) + 1);
        for (number, fd) in (free..).zip(passed) {
            files.add_dup2(*fd, number)?;
        }
        for (at, number) in (3..3 + count).zip(free..) {
            files.add_dup2(number, at)?;
            files.add_close(number)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETPGROUP | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        if !ignore_sigpipe {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
            attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        }
        attributes.set_flags(flags)?;
        let (program, argv) = match &stage {
            Some(stage) => stage.command(program, argv, ignore_sigpipe),
            None => (program, argv),
        };
        if let Some(pid) = launch.pid {
            sys::namespace::set_next_pid(pid);
        }
        let text = |text: String| CString::new(text).map_err(|_| Errno::EINVAL);
        let argv = argv.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let variables = environment.into_iter().map(|(name, value)| text(format!("{name}={value}")));
        let variables = variables.collect::<Result<Vec<_>, _>>()?;
        posix_spawn(program.as_str(), &files, &attributes, &argv, &variables)
    })();
    // Not to keep a directory of the run from being removed.
    let _ = chdir("/");
    let pid = started.map_err(exec)?;
    match stage.and_then(exec::Stage::failure) {
        None => Ok(pid),
        Some(errno) => {
            let _ = waitpid(pid, None);
            Err((Step::Exec, errno))
        }
    }
}

/// The mask for new files, until it is dropped.
struct Mask(Mode);

impl Mask {
    fn set(mask: u32) -> Mask {
        Mask(umask(Mode::from_bits_truncate(mask)))
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        umask(self.0);
    }
}

fn open(sink: &Sink) -> Result<File, Errno> {
    let mut options = OpenOptions::new();
    let (path, options) = match sink {
        Sink::Append(path) => (path, options.create(true).append(true)),
        Sink::Over(path) => (path, options.create(true).write(true).truncate(false)),
        Sink::Truncate(path) => (path, options.create(true).write(true).truncate(true)),
    };
    options.open(path).map_err(errno_of)
}

fn errno_of(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
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

fn remove(guarded: &Guarded) {
    // Only what the run has made, and what is named so.
    let is_ours = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("relapse-"));
    if let Some(cgroup) = guarded.cgroup.as_deref().filter(|path| is_ours(path)) {
        sys::namespace::remove_cgroup(cgroup);
    }
    let directory = Path::new(&guarded.directory);
    if is_ours(directory) {
        let _ = std::fs::remove_dir_all(directory);
    }
}
