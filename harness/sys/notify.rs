//! The socket that services send notifications to (sd_notify(3)): datagrams with the sender's PID, which the kernel
//! vouches for, and with descriptors.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::errno::Errno;
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
