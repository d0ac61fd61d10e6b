//! Port leases: a host port that no other run takes while the lease is held.
//!
//! portpicker checks that a port is free and lets go of it, so its answer is a suggestion. The lease is an abstract
//! UNIX socket named after the port (unix(7)): like ports it lives in the network namespace, the kernel lets only one
//! process have it, and it is gone with its process however that ends. A run that finds the name or the port taken
//! asks for another.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// A leased port; the lease ends when this is dropped, or its process ends.
#[derive(Debug)]
pub struct Lease {
    port: u16,
    _name: UnixListener,
}

const ATTEMPTS: u32 = 200;

impl Lease {
    /// Leases a port that is free on every IPv4 address of the host.
    ///
    /// # Errors
    ///
    /// After 200 attempts, with the last reason.
    pub fn new() -> io::Result<Lease> {
        let mut last = io::Error::new(io::ErrorKind::AddrInUse, "no port was suggested");
        let mut tried = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let Some(port) = portpicker::pick_unused_port().or_else(kernel_suggestion) else { continue };
            // A port that reads like an everyday number would be mapped back by mistake in what is shown.
            if port < 10_000 || port % 100 == 0 || !tried.insert(port) {
                continue;
            }
            match lease(port) {
                Ok(lease) => return Ok(lease),
                Err(error) => last = error,
            }
        }
        Err(io::Error::new(
            last.kind(),
            format!("no port could be leased after {ATTEMPTS} attempts: {last}; see who listens with `ss -ltn`"),
        ))
    }

    /// The host port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn lease(port: u16) -> io::Result<Lease> {
    let address = SocketAddr::from_abstract_name(format!("relapse/port/{port}"))?;
    let name = UnixListener::bind_addr(&address)?;
    // The first look was before the lease.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    Ok(Lease { port, _name: name })
}

fn kernel_suggestion() -> Option<u16> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?.local_addr().ok().map(|address| address.port())
}
