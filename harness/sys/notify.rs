//! The socket that services send notifications to (sd_notify(3)): datagrams with the sender's PID, which the kernel
//! vouches for, and with descriptors.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};

/// A longer message is refused, as systemd refuses it (PIPE_BUF).
const LONGEST: usize = 4096;

/// The receiving end.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
}

/// What somebody has sent.
#[derive(Debug)]
pub struct Datagram {
    /// Host PID of the sender, or the one that a privileged sender pretends to have; 0 if the kernel gave none.
    pub pid: i32,
    /// The message; `None` if it was too long.
    pub bytes: Option<Vec<u8>>,
    /// Descriptors that came with it.
    pub descriptors: Vec<Descriptor>,
}

/// A descriptor that came with a message. Dropping it closes it.
#[derive(Debug)]
pub struct Descriptor(RawFd);

impl Descriptor {
    /// Its number in this process.
    pub fn number(&self) -> RawFd {
        self.0
    }

    /// Of which file it is, and how that is open: systemd's own way to tell whether two are the same where the kernel
    /// has no kcmp(2). `None` if the kernel does not say.
    pub fn identity(&self) -> Option<String> {
        let meta = fs::metadata(format!("/proc/self/fd/{}", self.0)).ok()?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.0)).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        Some(format!("{}:{}:{flags}", meta.dev(), meta.ino()))
    }

    /// Whether it is an end of a pipe whose other end is closed. Other kinds cannot be told by looking.
    pub fn is_hung_up(&self) -> bool {
        let path = format!("/proc/self/fd/{}", self.0);
        let reads = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.0)).is_ok_and(|info| {
            info.lines().find_map(|line| line.strip_prefix("flags:")).is_some_and(|flags| flags.trim().ends_with('0'))
        });
        if !reads || !fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_fifo()) {
            return false;
        }
        // A look of its own at the same pipe: what it is opened for here is not what keeps its other end open.
        let Ok(look) = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path) else {
            return false;
        };
        let mut polled = [PollFd::new(look.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).is_ok()
            && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// What the kernel says that it is: `pipe:[INODE]`, `socket:[INODE]`, or a path.
    pub fn target(&self) -> Option<String> {
        fs::read_link(format!("/proc/self/fd/{}", self.0)).ok().map(|target| target.to_string_lossy().into_owned())
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let _ = nix::unistd::close(self.0);
    }
}

impl NotifySocket {
    /// Makes the socket at a path.
    ///
    /// # Errors
    ///
    /// What bind(2) says; a path of 108 bytes or more is too long.
    pub fn bind(path: &Path) -> io::Result<NotifySocket> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        Ok(NotifySocket { socket })
    }

    /// The next datagram, `None` if there is none.
    ///
    /// # Errors
    ///
    /// What recvmsg(2) says.
    pub fn receive(&self) -> io::Result<Option<Datagram>> {
        let mut bytes = [0u8; LONGEST];
        // As many descriptors as one message can carry (unix(7), SCM_MAX_FD).
        let mut ancillary = nix::cmsg_space!(UnixCredentials, [RawFd; 253]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let mut datagram = Datagram { pid: 0, bytes: None, descriptors: Vec::new() };
        let length = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let received = loop {
                match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut ancillary), flags) {
                    Err(Errno::EINTR) => continue,
                    Err(Errno::EAGAIN) => return Ok(None),
                    Err(errno) => return Err(errno.into()),
                    Ok(received) => break received,
                }
            };
            for message in received.cmsgs()? {
                match message {
                    ControlMessageOwned::ScmCredentials(credentials) => datagram.pid = credentials.pid(),
                    ControlMessageOwned::ScmRights(descriptors) => {
                        datagram.descriptors.extend(descriptors.into_iter().map(Descriptor));
                    }
                    _ => {}
                }
            }
            (!received.flags.contains(MsgFlags::MSG_TRUNC)).then_some(received.bytes)
        };
        datagram.bytes = length.and_then(|length| bytes.get(..length)).map(<[u8]>::to_vec);
        Ok(Some(datagram))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
