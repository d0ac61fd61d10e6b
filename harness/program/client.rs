//! The polling client: one request a period, until it is told to stop or the run ends.

use std::net::{IpAddr, Ipv4Addr};

use crate::control::{ClientRole, Note};
use crate::program::http::{self, Failure, Peer};
use crate::program::link::Link;

pub(super) fn main(link: &mut Link, role: &ClientRole) -> u8 {
    let peer = Peer::Port(IpAddr::V4(Ipv4Addr::LOCALHOST), role.port);
    let mut next = link.now().max(role.from);
    loop {
        while link.now() < next {
            link.wait(Some(next), 0, false, &[]);
        }
        if role.until.is_some_and(|until| next >= until) {
            // It asks no more, but is there until the run ends: nobody is to see it go.
            loop {
                link.wait(None, 0, false, &[]);
            }
        }
        let sent = link.now();
        let answer = http::get(link, &peer, &role.path, Some(sent + role.timeout));
        // Half an answer is none.
        let answer = answer.and_then(|response| response.cut.map_or(Ok(response), Err));
        let (status, error, by) = match answer {
            Ok(response) => (response.status, "", response.by),
            Err(Failure::Refused) => (0, "refused", None),
            Err(Failure::Timeout) => (0, "timeout", None),
            Err(Failure::Reset | Failure::Empty) => (0, "reset", None),
        };
        link.note(Note::Request { port: role.port, status, error: error.to_owned(), by, sent });
        // A slow answer costs the polls that it covered, as in a loop with a sleep.
        while next <= link.now() {
            next += role.every;
        }
    }
}
