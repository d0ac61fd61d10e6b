//! Which port a program wants: by its command line, and by what it says when it cannot have it.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::Listener;

/// A port, and the address on it, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The port.
    pub port: u16,
    /// The address.
    pub address: Option<IpAddr>,
}

impl Wanted {
    /// Whether somebody who listens there is in its way (socket(7), SO_REUSEADDR; ipv6(7), IPV6_V6ONLY). Where an
    /// address is not known, everybody on the port is.
    pub fn conflicts_with(&self, listener: &Listener) -> bool {
        if self.port != listener.port {
            return false;
        }
        let Some(wanted) = self.address else { return true };
        let taken = listener.address;
        let both_families = |address: IpAddr| address.is_ipv6() && address.is_unspecified();
        match (wanted.to_canonical(), taken.to_canonical()) {
            (IpAddr::V4(wanted), IpAddr::V4(taken)) => {
                wanted == taken || wanted.is_unspecified() || taken.is_unspecified()
            }
            (IpAddr::V6(wanted), IpAddr::V6(taken)) => {
                wanted == taken || wanted.is_unspecified() || taken.is_unspecified()
            }
            (IpAddr::V4(_), _) => both_families(taken) && listener.v6_only != Some(true),
            // Whether the one that wants it would leave IPv4 alone is not known; it may not.
            (wanted, IpAddr::V4(_)) => wanted.is_unspecified(),
        }
    }
}

/// Words by which programs say that an address is taken.
const TAKEN: [&str; 6] =
    ["address already in use", "address in use", "eaddrinuse", "errno 98", "os error 98", "port is already allocated"];

/// Whether a program's message says that its address is taken, and which one, where it says that.
pub fn in_message(message: &str) -> Option<Option<Wanted>> {
    let lower = message.to_ascii_lowercase();
    TAKEN.iter().any(|words| lower.contains(words)).then(|| find(message))
}

/// The address in a message: `('0.0.0.0', 8000)`, `0.0.0.0:8000`, `[::]:8000`, `:::8000`, `port 8000`.
fn find(message: &str) -> Option<Wanted> {
    let words: Vec<&str> = message.split([' ', '\t', ',', ';', '(', ')', '\'', '"', '=', '<', '>']).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let port_of =
        |word: &&str| word.trim_matches(['.', ':', '!', ']', '[']).parse::<u16>().ok().filter(|port| *port > 0);
    words
        .iter()
        .zip(words.iter().skip(1))
        .find_map(|(host, port)| Some(Wanted { address: Some(host.parse().ok()?), port: port_of(port)? }))
        .or_else(|| words.iter().find_map(|word| address_and_port(word.trim_end_matches(['.', ':', '!']))))
        .or_else(|| {
            let mut after = words.iter().skip_while(|word| !word.trim_end_matches(':').eq_ignore_ascii_case("port"));
            after.next()?;
            Some(Wanted { port: port_of(after.next()?)?, address: None })
        })
}

/// `HOST:PORT`, `[HOST]:PORT`, `:PORT`, `:::PORT`, `*:PORT`, with a scheme before and a path after.
fn address_and_port(word: &str) -> Option<Wanted> {
    let word = word.split_once("://").map_or(word, |(_, rest)| rest);
    let word = word.split('/').next()?;
    let (host, port) = word.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let address = match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "*" => None,
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        // A name could be any address, and `main:8000` need not be one.
        host => Some(host.parse().ok()?),
    };
    Some(Wanted { port, address })
}

/// The ports that a command line names: after an option that speaks of ports, or as `HOST:PORT`.
pub fn in_command(words: &[String]) -> Vec<Wanted> {
    of_command(words).0
}

/// Numbers that may be ports for all that is known: they belong to no option.
pub fn perhaps_in_command(words: &[String]) -> Vec<Wanted> {
    of_command(words).1
}

fn of_command(words: &[String]) -> (Vec<Wanted>, Vec<Wanted>) {
    let (mut sure, mut maybe) = (Vec::new(), Vec::new());
    let mut host = None;
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let mut before: &str = "";
    for word in words.iter().skip(1) {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) if option.starts_with('-') => (option, value),
            _ => (before, word.as_str()),
        };
        let speaks_of = |name: &str| option.trim_start_matches('-').to_ascii_lowercase().contains(name);
        let is_option = option.starts_with('-');
        if is_option && (speaks_of("host") || speaks_of("addr") || speaks_of("bind") || speaks_of("ip")) {
            host = host.or_else(|| value.parse::<IpAddr>().ok());
        }
        if let Some(port) = number(value) {
            let for_ports = is_option && (speaks_of("port") || matches!(option, "-p" | "-P" | "-l"));
            if for_ports {
                sure.push(Wanted { port, address: None });
            } else if !is_option {
                maybe.push(Wanted { port, address: None });
            }
        } else if let Some(wanted) = address_and_port(value).filter(|_| !word.contains("://") || speaks_of("bind")) {
            sure.push(wanted);
        }
        before = if word.contains('=') { "" } else { word };
    }
    for wanted in &mut sure {
        wanted.address = wanted.address.or(host);
    }
    let mut seen = BTreeSet::new();
    sure.retain(|wanted| seen.insert(wanted.port));
    maybe.retain(|wanted| seen.insert(wanted.port));
    (sure, maybe)
}
