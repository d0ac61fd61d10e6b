//! Processes of ours on a machine with a systemd of its own: the control protocol under a wall clock.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::control::{Decoder, Note, ToProcess, ToRun, Welcome, send};
use crate::time::IncidentTime;

pub(super) type LinkId = u64;

/// What one of them says.
#[derive(Debug)]
pub(super) enum Said {
    Hello {
        host: i32,
        argv: Vec<String>,
    },
    /// What happened, and when as it says.
    Note(Note, u64),
    HungUp,
}

#[derive(Debug)]
struct Link {
    stream: UnixStream,
    decoder: Decoder,
    /// The wait it is in, and until when.
    waits: Option<(u64, Option<IncidentTime>)>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Links {
    listener: UnixListener,
    links: BTreeMap<LinkId, Link>,
    next: LinkId,
}

impl Links {
    pub(super) fn new(listener: UnixListener) -> io::Result<Links> {
        listener.set_nonblocking(true)?;
        Ok(Links { listener, links: BTreeMap::new(), next: 1 })
    }

    /// What to poll.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let links = self.links.values().map(|link| link.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(links).collect()
    }

    /// When the next wait is over.
    pub(super) fn deadline(&self) -> Option<IncidentTime> {
        self.links.values().filter_map(|link| link.waits?.1).min()
    }

    /// Wakes whoever has waited long enough.
    pub(super) fn wake(&mut self, now: IncidentTime) {
        for link in self.links.values_mut() {
            if let Some((seq, Some(deadline))) = link.waits
                && deadline <= now
            {
                link.waits = None;
                // Who is gone is heard of below.
                let _ = send(&mut link.stream, &ToProcess::Woken { seq, now });
            }
        }
    }

    pub(super) fn welcome(&mut self, id: LinkId, welcome: Welcome) {
        if let Some(link) = self.links.get_mut(&id) {
            let _ = send(&mut link.stream, &ToProcess::Welcome(Box::new(welcome)));
        }
    }

    /// What they have said by now, in the order of their arrival.
    pub(super) fn hear(&mut self, now: IncidentTime) -> io::Result<Vec<(LinkId, Said)>> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            self.links.insert(self.next, Link { stream, decoder: Decoder::default(), waits: None });
            self.next += 1;
        }
        let mut said = Vec::new();
        let mut gone = Vec::new();
        for (id, link) in &mut self.links {
            if !link.hear(|what| said.push((*id, what)), now)? {
                said.push((*id, Said::HungUp));
                gone.push(*id);
            }
        }
        gone.iter().for_each(|id| drop(self.links.remove(id)));
        Ok(said)
    }
}

impl Link {
    /// `false` once it has hung up.
    fn hear(&mut self, mut said: impl FnMut(Said), now: IncidentTime) -> io::Result<bool> {
        let mut chunk = [0; 16384];
        let mut open = true;
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => open = false,
                Ok(count) => {
                    self.decoder.push(&chunk[..count]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => open = false,
            }
            break;
        }
        while let Some(message) = self.decoder.take::<ToRun>()? {
            match message {
                ToRun::Hello { argv, .. } => {
                    let host = getsockopt(&self.stream, PeerCredentials).map_err(io::Error::from)?.pid();
                    said(Said::Hello { host, argv });
                }
                ToRun::Note { note, at, .. } => said(Said::Note(note, at)),
                ToRun::Wait { seq, deadline, .. } => self.waits = Some((seq, deadline)),
                // A wake that crossed with ours has been answered already.
                ToRun::Awake { seq } if self.waits.is_some_and(|(waited, _)| waited == seq) => {
                    self.waits = None;
                    let _ = send(&mut self.stream, &ToProcess::Woken { seq, now });
                }
                ToRun::Awake { .. } | ToRun::Quiet { .. } => {}
                // Programs that ask are not installed there; who asks all the same is told to go.
                ToRun::Ask { .. } => open = false,
            }
        }
        Ok(open)
    }
}
