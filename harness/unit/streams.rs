//! Standard streams, resource limits and `[Socket]` (systemd.exec(5), systemd.socket(5); SPEC 11).

// The address types alone; nothing here touches the network.
use core::net::{Ipv4Addr, Ipv6Addr};

use super::Errno;
use super::name;
use super::number;
use super::read::{Draft, Place};
use super::specifier::Scope;
use super::words::{Syntax, first_word};
use super::{Listen, ListenKind};
use crate::time::Span;

const WARNING: u8 = 4;

impl Draft<'_> {
    pub(super) fn input(&mut self, at: &Place<'_>) {
        const WORDS: [&str; 6] = ["null", "tty", "tty-force", "tty-fail", "socket", "data"];
        let value = if let Some(path) = at.value.strip_prefix("file:") {
            self.stream_file(at, path, true).map(|path| format!("file:{path}"))
        } else if let Some(name) = at.value.strip_prefix("fd:") {
            self.stream_descriptor(at, name).map(|name| format!("fd:{name}"))
        } else if at.value == "fd" || WORDS.contains(&at.value) {
            Some(at.value.to_owned())
        } else {
            self.log_errno(
                at,
                WARNING,
                Errno::EINVAL,
                format!("Failed to parse input specifier, ignoring: {}", at.value),
            );
            None
        };
        if let Some(value) = value {
            self.service(|service| service.standard_input = value);
        }
    }

    pub(super) fn output(&mut self, at: &Place<'_>) {
        const WORDS: [&str; 9] =
            ["inherit", "null", "tty", "kmsg", "kmsg+console", "journal", "journal+console", "socket", "fd"];
        let file = ["file", "append", "truncate"]
            .into_iter()
            .find_map(|kind| Some((kind, at.value.strip_prefix(kind)?.strip_prefix(':')?)));
        let obsolete = match at.value {
            "syslog" => Some("journal"),
            "syslog+console" => Some("journal+console"),
            _ => None,
        };
        let value = if let Some((kind, path)) = file {
            self.stream_file(at, path, false).map(|path| format!("{kind}:{path}"))
        } else if let Some(name) = at.value.strip_prefix("fd:") {
            self.stream_descriptor(at, name).map(|name| format!("fd:{name}"))
        } else if let Some(new) = obsolete {
            let text = format!(
                "Standard output type {} is obsolete, automatically updating to {new}. Please update your unit file, and \
                 consider removing the setting altogether.",
                at.value
            );
            self.log(at, 5, text);
            Some(new.to_owned())
        } else if WORDS.contains(&at.value) {
            Some(at.value.to_owned())
        } else {
            self.log_errno(
                at,
                WARNING,
                Errno::EINVAL,
                format!("Failed to parse output specifier, ignoring: {}", at.value),
            );
            None
        };
        if let Some(value) = value {
            self.service(|service| match at.key {
                "StandardOutput" => service.standard_output = value,
                _ => service.standard_error = value,
            });
        }
    }

    fn stream_file(&mut self, at: &Place<'_>, path: &str, quoted: bool) -> Option<String> {
        match self.expand(path, Scope::Full) {
            Ok(path) => self.absolute(at, &path, true),
            Err(errno) => {
                let quote = if quoted { "'" } else { "" };
                let text = format!("Failed to resolve unit specifiers in {quote}{path}{quote}, ignoring: {errno}");
                self.log_errno(at, WARNING, errno, text);
                None
            }
        }
    }

    fn stream_descriptor(&mut self, at: &Place<'_>, name: &str) -> Option<String> {
        let name = self.expand(name, Scope::Full).ok()?;
        if name.is_empty() || is_descriptor_name(&name) {
            return Some(name);
        }
        self.log(at, WARNING, format!("Invalid file descriptor name, ignoring: {name}"));
        None
    }

    /// `LimitNOFILE=1024:2048` and its siblings.
    pub(super) fn limit(&mut self, at: &Place<'_>) {
        let one = |text: &str| limit_value(at.key, text);
        let value = match at.value.split_once(':') {
            _ if at.value.is_empty() => Err(Errno::EINVAL),
            None => one(at.value).map(|value| (value, value)),
            Some((soft, hard)) => one(soft).and_then(|soft| Ok((soft, one(hard)?))),
        };
        match value {
            Ok((soft, hard)) if soft > hard => {
                let text = format!("Soft resource limit chosen higher than hard limit, ignoring: {}", at.value);
                self.log_errno(at, WARNING, Errno::EILSEQ, text);
            }
            value => {
                if let Some(pair) = self.checked(at, "resource value", value) {
                    self.service(|service| {
                        service.limits.insert(at.key.to_owned(), pair);
                    });
                }
            }
        }
    }

    /// `ListenStream=` and its siblings.
    pub(super) fn listen(&mut self, at: &Place<'_>) {
        if at.value.is_empty() {
            if let Some(socket) = &mut self.unit.socket {
                socket.listen.clear();
            }
            return;
        }
        let Some(kind) = ListenKind::from_key(at.key) else { return };
        let text = match self.expand(at.value, Scope::Full) {
            Ok(text) => text,
            Err(errno) => {
                let text = format!("Failed to resolve unit specifiers in '{}', ignoring: {errno}", at.value);
                self.log_errno(at, WARNING, errno, text);
                return;
            }
        };
        let address = match at.key {
            "ListenStream" | "ListenDatagram" | "ListenSequentialPacket" => match address(&text) {
                Ok(address) if at.key == "ListenSequentialPacket" && !address.starts_with(['/', '@']) => {
                    self.log(at, WARNING, format!("Address family not supported, ignoring: {}", at.value));
                    return;
                }
                Ok(address) => address,
                Err(errno) => {
                    self.log_errno(
                        at,
                        WARNING,
                        errno,
                        format!("Failed to parse address value in '{text}', ignoring: {errno}"),
                    );
                    return;
                }
            },
            "ListenNetlink" => match netlink(&text) {
                Ok(()) => text,
                Err(errno) => {
                    self.log_errno(
                        at,
                        WARNING,
                        errno,
                        format!("Failed to parse address value in '{text}', ignoring: {errno}"),
                    );
                    return;
                }
            },
            _ => match self.absolute(at, &text, false) {
                Some(path) => path,
                None => return,
            },
        };
        if let Some(socket) = &mut self.unit.socket {
            socket.listen.push(Listen { kind, address });
        }
    }

    pub(super) fn descriptor_name(&mut self, at: &Place<'_>) {
        let name = match self.expand(at.value, Scope::Full) {
            Ok(name) => name,
            Err(errno) => {
                let text = format!("Failed to resolve unit specifiers in '{}', ignoring: {errno}", at.value);
                self.log_errno(at, WARNING, errno, text);
                return;
            }
        };
        if !name.is_empty() && !is_descriptor_name(&name) {
            self.log(at, WARNING, format!("Invalid file descriptor name, ignoring: {name}"));
        } else if let Some(socket) = &mut self.unit.socket {
            socket.file_descriptor_name = (!name.is_empty()).then_some(name);
        }
    }

    /// `Symlinks=`: absolute paths, which add up.
    pub(super) fn socket_links(&mut self, at: &Place<'_>) {
        if at.value.is_empty() {
            if let Some(socket) = &mut self.unit.socket {
                socket.symlinks.clear();
            }
            return;
        }
        let mut rest = at.value;
        loop {
            let word = match first_word(&mut rest, Syntax::UNQUOTED) {
                Ok(Some(word)) => word,
                Ok(None) => return,
                Err(errno) => {
                    let text = format!("Invalid syntax, ignoring: {}", at.value);
                    return self.log_errno(at, WARNING, errno, text);
                }
            };
            match self.expand(&word, Scope::Full) {
                Ok(path) => {
                    if let Some(path) = self.absolute(at, &path, false)
                        && let Some(socket) = &mut self.unit.socket
                    {
                        socket.symlinks.push(path);
                    }
                }
                Err(errno) => {
                    let text = format!("Failed to resolve unit specifiers in '{word}', ignoring: {errno}");
                    self.log_errno(at, WARNING, errno, text);
                }
            }
        }
    }

    /// `Service=` of a socket.
    pub(super) fn socket_service(&mut self, at: &Place<'_>) {
        let value = at.value;
        let text = match self.expand(value, Scope::Name) {
            Err(errno) => {
                let text = format!("Failed to resolve unit specifiers in {value}, ignoring: {errno}");
                return self.log_errno(at, WARNING, errno, text);
            }
            Ok(name) if !name.ends_with(".service") => {
                return self.log(at, WARNING, format!("Unit must be of type service, ignoring: {value}"));
            }
            Ok(name) => match name::kind(&name) {
                Some(name::NameKind::Plain | name::NameKind::Instance) => {
                    if let Some(socket) = &mut self.unit.socket {
                        socket.service = Some(name);
                    }
                    return;
                }
                Some(name::NameKind::Template) => {
                    format!("Failed to load unit {value}, ignoring: Unit name {name} is missing the instance name.")
                }
                None => format!("Failed to load unit {value}, ignoring: Unit name {name} is not valid."),
            },
        };
        self.log_errno(at, WARNING, Errno::EINVAL, text);
    }
}

/// One side of a resource limit, in the unit the kernel counts it (systemd.exec(5), "Process Properties").
fn limit_value(key: &str, text: &str) -> Result<u64, Errno> {
    if text == "infinity" && key != "LimitNICE" {
        return Ok(u64::MAX);
    }
    let in_units = |unit: Span, divisor: u64| match Span::parse_with_unit(text, unit) {
        Ok(span) if span.is_infinite() => Ok(u64::MAX),
        Ok(span) => Ok(span.as_micros().div_ceil(divisor)),
        Err(_) => Err(Errno::EINVAL),
    };
    match key {
        "LimitCPU" => in_units(Span::from_secs(1), 1_000_000),
        "LimitRTTIME" => in_units(Span::from_micros(1), 1),
        "LimitNOFILE" | "LimitNPROC" | "LimitLOCKS" | "LimitSIGPENDING" | "LimitRTPRIO" => number::long_unsigned(text),
        // A nice level, with its sign, or the raw value 20 - level.
        "LimitNICE" => match text.strip_prefix('+').map(number::long_unsigned) {
            Some(level) => level.and_then(|level| if level < 20 { Ok(20 - level) } else { Err(Errno::ERANGE) }),
            None => match text.strip_prefix('-').map(number::long_unsigned) {
                Some(level) => level.and_then(|level| if level <= 20 { Ok(20 + level) } else { Err(Errno::ERANGE) }),
                None => {
                    number::long_unsigned(text).and_then(|raw| if raw <= 40 { Ok(raw) } else { Err(Errno::ERANGE) })
                }
            },
        },
        _ => number::size(text),
    }
}

/// A name that can stand in LISTEN_FDNAMES.
pub(crate) fn is_descriptor_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.chars().all(|c| (' '..'\u{7f}').contains(&c) && c != ':')
}

/// A socket address as systemd prints it: `[::]:8000` for a port alone, `127.0.0.1:8000`, `/run/x`, `@abstract`.
fn address(text: &str) -> Result<String, Errno> {
    const LONGEST_UNIX_PATH: usize = 107;
    if text.starts_with(['/', '@']) {
        return match text.len() {
            1 => Err(Errno::EINVAL),
            length if length > LONGEST_UNIX_PATH => Err(Errno::EINVAL),
            _ => Ok(text.to_owned()),
        };
    }
    if let Some(rest) = text.strip_prefix("vsock:") {
        let (cid, port) = rest.split_once(':').ok_or(Errno::EINVAL)?;
        let cid = if cid.is_empty() { u32::MAX } else { number::unsigned(cid)? };
        return Ok(format!("vsock:{cid}:{}", number::unsigned(port)?));
    }
    match port(text) {
        Ok(port) => return Ok(format!("[::]:{port}")),
        Err(Errno::ERANGE) => return Err(Errno::ERANGE),
        Err(_) => {}
    }
    let (host, port_text) = text.rsplit_once(':').ok_or(Errno::EINVAL)?;
    if let Some(host) = host.strip_prefix('[') {
        let host = host.strip_suffix(']').ok_or(Errno::EINVAL)?;
        let port = port(port_text)?;
        let address: Ipv6Addr = host.parse().map_err(|_| Errno::EINVAL)?;
        return Ok(format!("[{address}]:{port}"));
    }
    let address: Ipv4Addr = host.parse().map_err(|_| Errno::EINVAL)?;
    Ok(format!("{address}:{}", port(port_text)?))
}

/// A netlink family, by name or number, and optionally a group.
fn netlink(text: &str) -> Result<(), Errno> {
    const FAMILIES: &str = "route firewall inet-diag nflog xfrm selinux iscsi audit fib-lookup connector netfilter ip6-fw \
                            dnrtmsg kobject-uevent generic scsitransport ecryptfs rdma";
    let (family, group) = text.split_once(number::BLANKS).unwrap_or((text, ""));
    if !FAMILIES.split(' ').any(|known| known == family) && number::unsigned(family).is_err() {
        return Err(Errno::EINVAL);
    }
    if group.is_empty() { Ok(()) } else { number::unsigned(group).map(|_| ()) }
}

fn port(text: &str) -> Result<u16, Errno> {
    if text.starts_with(number::BLANKS) {
        return Err(Errno::EINVAL);
    }
    match u16::try_from(number::unsigned(text)?) {
        Ok(0) => Err(Errno::EINVAL),
        Ok(port) => Ok(port),
        Err(_) => Err(Errno::ERANGE),
    }
}
