//! The run's end of its guard process (`program::guard`).

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::control::{Decoder, ENV_CONTROL, FromGuard, Launch, Status, Step, ToGuard, encode, send};
use crate::program::GUARD;
use crate::sys;

/// The guard and what it has said.
#[derive(Debug)]
pub(super) struct Guard {
    /// Nobody, if it runs within a machine: it ends with that.
    child: Option<Child>,
    socket: UnixStream,
    decoder: Decoder,
    ended: VecDeque<(i32, Status)>,
    next: u64,
    gone: bool,
    /// The run's own directory, and the cgroup of its machine.
    directory: PathBuf,
    cgroup: Option<PathBuf>,
}

impl Guard {
    /// Starts a guard, who makes the run's directory: nobody who is killed meanwhile leaves one. With a cgroup, one of
    /// the directory's name below it is the run's too.
    pub(super) fn start(executable: &Path, cgroup: Option<&Path>) -> io::Result<Guard> {
        Self::start_with(executable, cgroup, &[])
    }

    /// Starts a guard in a machine of the run's own, where nobody is who must not be signalled.
    pub(super) fn start_free(executable: &Path) -> io::Result<Guard> {
        Self::start_with(executable, None, &["--free"])
    }

    fn start_with(executable: &Path, cgroup: Option<&Path>, options: &[&str]) -> io::Result<Guard> {
        let started = tempfile::Builder::new()
            .prefix("relapse-")
            .make(|directory| Self::start_in(executable, directory, cgroup, options))?;
        let (guard, directory) = started.into_parts();
        directory.keep()?;
        Ok(guard)
    }

    fn start_in(executable: &Path, directory: &Path, cgroup: Option<&Path>, options: &[&str]) -> io::Result<Guard> {
        let (ours, theirs) = UnixStream::pair()?;
        let cgroup = cgroup.zip(directory.file_name()).map(|(parent, name)| parent.join(name));
        let mut command = Command::new(executable);
        command
            .arg0(GUARD)
            .arg(directory)
            .args(cgroup.iter().flat_map(|cgroup| [OsStr::new("--cgroup"), cgroup.as_os_str()]))
            .args(options)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .process_group(0);
        let child = sys::start(&mut command)?;
        drop(command);
        let mut guard = Self::new(Some(child), ours, directory);
        guard.cgroup = cgroup;
        match guard.receive() {
            Ok(FromGuard::Ready) => Ok(guard),
            Ok(FromGuard::NoDirectory { errno }) => Err(io::Error::from_raw_os_error(errno)),
            Ok(_) => Err(Self::lost()),
            Err(error) => Err(error),
        }
    }

    /// The guard within a machine, which has connected.
    pub(super) fn inside(socket: UnixStream) -> Guard {
        Self::new(None, socket, Path::new(""))
    }

    fn new(child: Option<Child>, socket: UnixStream, directory: &Path) -> Guard {
        Guard {
            child,
            socket,
            decoder: Decoder::default(),
            ended: VecDeque::new(),
            next: 0,
            gone: false,
            directory: directory.to_owned(),
            cgroup: None,
        }
    }

    /// The run's own directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The cgroup that is the run's; it has to be made.
    pub(super) fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// Where the run listens: what all its processes have in their environment.
    pub(super) fn control(&self) -> PathBuf {
        self.directory.join("control")
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    fn lost() -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, "the guard process of the run is gone; was it killed?")
    }

    /// Starts a program; `Ok(Err((step, errno)))` if the program itself cannot be started.
    pub(super) fn spawn(&mut self, descriptors: &[RawFd], launch: Launch) -> io::Result<Result<i32, (Step, i32)>> {
        self.next += 1;
        let wanted = self.next;
        sys::socket::send_with(&self.socket, &encode(&ToGuard::Spawn { id: wanted, launch })?, descriptors)?;
        let answer = loop {
            match self.receive()? {
                FromGuard::Spawned { id, pid } if id == wanted => break Ok(pid),
                FromGuard::SpawnFailed { id, step, errno } if id == wanted => break Err((step, errno)),
                other => self.keep(other),
            }
        };
        self.drain()?;
        Ok(answer)
    }

    pub(super) fn signal(&mut self, pid: i32, signal: i32) -> io::Result<()> {
        send(&mut self.socket, &ToGuard::Signal { pid, signal })
    }

    /// Waits until every end that has been reaped so far is told.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        send(&mut self.socket, &ToGuard::Ping)?;
        loop {
            match self.receive()? {
                FromGuard::Pong => return self.drain(),
                other => self.keep(other),
            }
        }
    }

    /// Reads what comes within a time.
    pub(super) fn read_within(&mut self, timeout: Duration) -> io::Result<()> {
        let millis = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Ok(_) => self.read(),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads what is there, which poll(2) has announced.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0u8; 8192];
        match self.socket.read(&mut chunk) {
            Ok(0) => return Err(Self::lost()),
            Ok(count) => self.decoder.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.drain()
    }

    /// Takes what has come with an answer that was waited for: once it has been read, poll(2) is silent about it.
    fn drain(&mut self) -> io::Result<()> {
        while let Some(message) = self.decoder.take()? {
            self.keep(message);
        }
        Ok(())
    }

    /// Whether any process was reaped that has not been handed out.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The next process that was reaped.
    pub(super) fn next_ended(&mut self) -> Option<(i32, Status)> {
        self.ended.pop_front()
    }

    fn keep(&mut self, message: FromGuard) {
        if let FromGuard::Exited { pid, status } = message {
            self.ended.push_back((pid, status));
        }
    }

    fn receive(&mut self) -> io::Result<FromGuard> {
        crate::control::receive(&mut self.socket, &mut self.decoder)?.ok_or_else(Self::lost)
    }

    /// Kills the whole tree, waits for it, and removes the run's directory unless it is kept.
    pub(super) fn shut_down(&mut self, keep: bool) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        send(&mut self.socket, &ToGuard::Shutdown { keep })?;
        self.socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let told = loop {
            match self.receive() {
                Ok(FromGuard::Gone { .. }) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        told?;
        self.gone = true;
        if let Some(child) = &mut self.child {
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        // The closing socket is the order to kill everything; wait so that nothing is left when we are done.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let Some(child) = &mut self.child else { return };
        let clean = child.wait().is_ok_and(|status| status.success());
        if clean {
            return;
        }
        // Somebody killed the guard: what it guarded has lost its parent, but not its environment.
        loop {
            let left = sys::process::with_environment(ENV_CONTROL, &self.control().to_string_lossy());
            if !left.into_iter().any(|pid| sys::kill(pid, 9)) {
                break;
            }
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
