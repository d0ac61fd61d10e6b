//! Unit names: validity, parts, escaping and what `systemctl` makes of a sloppy name
//! (systemd.unit(5), "String Escaping for Inclusion in Unit Names"; systemd-escape(1); SPEC 1.5).

use std::fmt::Write as _;

use super::path;

/// The longest name, in bytes.
const MAX: usize = 255;

/// The unit types by suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the suffix of the same name")]
pub enum UnitType {
    Service,
    Mount,
    Swap,
    Socket,
    Target,
    Device,
    Automount,
    Timer,
    Path,
    Slice,
    Scope,
}

impl UnitType {
    /// All types, in the order systemd counts them.
    pub const ALL: [UnitType; 11] = [
        UnitType::Service,
        UnitType::Mount,
        UnitType::Swap,
        UnitType::Socket,
        UnitType::Target,
        UnitType::Device,
        UnitType::Automount,
        UnitType::Timer,
        UnitType::Path,
        UnitType::Slice,
        UnitType::Scope,
    ];

    /// The suffix without its dot.
    pub const fn as_str(self) -> &'static str {
        match self {
            UnitType::Service => "service",
            UnitType::Mount => "mount",
            UnitType::Swap => "swap",
            UnitType::Socket => "socket",
            UnitType::Target => "target",
            UnitType::Device => "device",
            UnitType::Automount => "automount",
            UnitType::Timer => "timer",
            UnitType::Path => "path",
            UnitType::Slice => "slice",
            UnitType::Scope => "scope",
        }
    }

    /// The type with this suffix (without the dot).
    pub fn from_suffix(suffix: &str) -> Option<UnitType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == suffix)
    }

    /// The type of a valid unit name.
    pub fn of(name: &str) -> Option<UnitType> {
        kind(name).and_then(|_| Self::from_suffix(name.rsplit_once('.')?.1))
    }

    /// Whether other names may be symlinks to units of this type.
    pub(crate) const fn may_alias(self) -> bool {
        matches!(
            self,
            UnitType::Service
                | UnitType::Socket
                | UnitType::Target
                | UnitType::Device
                | UnitType::Timer
                | UnitType::Path
        )
    }

    /// Whether there are templates of this type.
    pub(crate) const fn may_template(self) -> bool {
        matches!(self, UnitType::Service | UnitType::Socket | UnitType::Target | UnitType::Timer | UnitType::Path)
    }
}

/// What kind of name a valid unit name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// `x.service`
    Plain,
    /// `x@i.service`
    Instance,
    /// `x@.service`
    Template,
}

const fn is_valid_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.' | b'\\')
}

/// The kind of a unit name; `None` if it is not valid at all.
pub fn kind(name: &str) -> Option<NameKind> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let valid = name.len() <= MAX
        && !stem.is_empty()
        && !stem.starts_with('@')
        && UnitType::from_suffix(suffix).is_some()
        && stem.bytes().all(|byte| is_valid_byte(byte) || byte == b'@');
    valid.then(|| match stem.split_once('@') {
        None => NameKind::Plain,
        Some((_, "")) => NameKind::Template,
        Some(_) => NameKind::Instance,
    })
}

/// Whether this is a unit name, of whatever kind.
pub fn is_valid(name: &str) -> bool {
    kind(name).is_some()
}

/// The part before `@`, or before the suffix of a plain name (`%p`).
pub fn prefix(name: &str) -> &str {
    stem(name).split_once('@').map_or(stem(name), |(prefix, _)| prefix)
}

/// The part between the first `@` and the suffix, empty for a template; `None` for a plain name (`%i`).
pub fn instance(name: &str) -> Option<&str> {
    stem(name).split_once('@').map(|(_, instance)| instance)
}

/// The name without its suffix (`%N`).
pub fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The suffix with its dot, `.service`.
pub fn suffix(name: &str) -> &str {
    name.rfind('.').map_or("", |dot| &name[dot..])
}

/// `x@.service` for `x@i.service`; `None` for a plain name.
pub fn template(name: &str) -> Option<String> {
    instance(name).map(|_| format!("{}@{}", prefix(name), suffix(name)))
}

/// Puts an instance into a template, or exchanges it; `None` if the result is not a valid name.
pub fn with_instance(name: &str, instance: &str) -> Option<String> {
    let ok = matches!(kind(name), Some(NameKind::Template | NameKind::Instance))
        && instance.bytes().all(|byte| is_valid_byte(byte) || byte == b'@');
    let result = format!("{}@{instance}{}", prefix(name), suffix(name));
    (ok && kind(&result) == Some(NameKind::Instance)).then_some(result)
}

/// Why a text cannot be escaped, unescaped or put into a template, in the words of systemd-escape(1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A bad escape, or a path that is not normalised.
    #[error("Failed to unescape string: Invalid argument")]
    Unescape,
    /// A path with `.` or `..` in it.
    #[error("Failed to escape string: Invalid argument")]
    Escape,
    /// Not the name of a template.
    #[error("Template name {0} is not valid.")]
    Template(String),
    /// What came out is not a valid name.
    #[error("Failed to mangle name: Invalid argument")]
    Mangle,
    /// The instance does not fit.
    #[error("Failed to replace instance: Invalid argument")]
    Instance,
}

fn push_escaped(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Escapes a string for a unit name, as `systemd-escape STRING`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if index == 0 => push_escaped(&mut out, byte),
            b'-' | b'\\' => push_escaped(&mut out, byte),
            byte if is_valid_byte(byte) => out.push(char::from(byte)),
            byte => push_escaped(&mut out, byte),
        }
    }
    out
}

/// Escapes a path, as `systemd-escape --path`.
///
/// # Errors
///
/// [`NameError::Escape`] if the path has `..` in it, is nothing but `.`, or is none that the kernel would take.
pub fn escape_path(path: &str) -> Result<String, NameError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() && (path.is_empty() || path.starts_with('/')) {
        return Ok("-".into());
    }
    if parts.is_empty() || parts.contains(&"..") || !path::is_valid(path) {
        return Err(NameError::Escape);
    }
    Ok(escape(&parts.join("/")))
}

/// Undoes [`escape`], as `systemd-escape --unescape`. Bytes that are not UTF-8 come out as replacement characters; an
/// escaped NUL ends the string, as it does for systemd.
///
/// # Errors
///
/// [`NameError::Unescape`] if a backslash is not followed by `x` and two hexadecimal digits.
pub fn unescape(text: &str) -> Result<String, NameError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    while let Some(byte) = bytes.next() {
        match byte {
            b'-' => out.push(b'/'),
            b'\\' => {
                let high = (bytes.next() == Some(b'x')).then(|| hex(bytes.next())).flatten();
                let low = hex(bytes.next());
                let (Some(high), Some(low)) = (high, low) else { return Err(NameError::Unescape) };
                out.push(u8::try_from(high * 16 + low).map_err(|_| NameError::Unescape)?);
            }
            byte => out.push(byte),
        }
    }
    if let Some(end) = out.iter().position(|byte| *byte == 0) {
        out.truncate(end);
    }
    Ok(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Undoes [`escape_path`], as `systemd-escape --unescape --path`.
///
/// # Errors
///
/// [`NameError::Unescape`] for a bad escape, and for what is not a normalised path.
pub fn unescape_path(text: &str) -> Result<String, NameError> {
    match text {
        "" => Err(NameError::Unescape),
        "-" => Ok("/".into()),
        text => {
            let path = unescape(text)?;
            // Leading, trailing and double slashes all make an empty part.
            if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(NameError::Unescape);
            }
            Ok(format!("/{path}"))
        }
    }
}

/// Escapes a string and puts it into a template, as `systemd-escape --template=TEMPLATE STRING`.
///
/// # Errors
///
/// [`NameError::Template`] if `template` is not the name of a template.
pub fn into_template(template: &str, text: &str) -> Result<String, NameError> {
    if kind(template) != Some(NameKind::Template) {
        return Err(NameError::Template(template.to_owned()));
    }
    with_instance(template, &escape(text)).ok_or(NameError::Instance)
}

/// A name as the user typed it, turned into a unit name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mangled {
    /// The unit name.
    pub name: String,
    /// What systemctl says about it on stderr, if it had to escape.
    pub hint: Option<String>,
}

/// Whether a word is a glob (`foo*`).
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a name matches a shell pattern with `*`, `?` and `[…]` (glob(7), without escapes).
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut place) = (0, 0);
    // Where to go on if the match fails: after the last star, one character further than the last try.
    let mut retry: Option<(usize, usize)> = None;
    while place < text.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                retry = Some((at + 1, place));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class_matches(&pattern[at..], text[place]),
            Some(c) if *c == text[place] => Some(1),
            _ => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                at += length;
                place += 1;
            }
            (None, Some((star, tried))) => {
                at = star;
                place = tried + 1;
                retry = Some((star, place));
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// The length of the class a pattern starts with, if it holds the character. A bracket that is never closed stands for
/// itself.
fn class_matches(pattern: &[char], c: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    // A closing bracket right at the beginning belongs to the class.
    let Some(length) = pattern.iter().skip(first + 1).position(|c| *c == ']') else {
        return (c == '[').then_some(1);
    };
    let class = &pattern[first..=first + length];
    let mut holds = false;
    let mut index = 0;
    while let Some(&low) = class.get(index) {
        match (class.get(index + 1), class.get(index + 2)) {
            (Some('-'), Some(&high)) => {
                holds |= (low..=high).contains(&c);
                index += 3;
            }
            _ => {
                holds |= low == c;
                index += 1;
            }
        }
    }
    (holds != negated).then_some(first + length + 2)
}

/// Makes a unit name of what a user typed, as `systemctl` and `systemd-escape --mangle` do: appends `suffix`
/// (`.service`) if there is none, maps paths to mount and device units, escapes what cannot stand in a name.
///
/// # Errors
///
/// [`NameError::Mangle`] if no valid name comes out of it.
pub fn mangle(text: &str, suffix: &str) -> Result<Mangled, NameError> {
    if text.is_empty() {
        return Err(NameError::Mangle);
    }
    if is_valid(text) {
        return Ok(Mangled { name: text.to_owned(), hint: None });
    }
    if let Some(rest) = text.strip_prefix('/') {
        let device = ["dev/", "sys/"].iter().any(|dir| rest.trim_start_matches('/').starts_with(dir));
        let name = format!(
            "{}{}",
            escape_path(text).map_err(|_| NameError::Mangle)?,
            if device { ".device" } else { ".mount" }
        );
        return if is_valid(&name) { Ok(Mangled { name, hint: None }) } else { Err(NameError::Mangle) };
    }
    let mut name = String::with_capacity(text.len() + suffix.len());
    for byte in text.bytes() {
        match byte {
            b'/' => name.push('-'),
            byte if is_valid_byte(byte) || byte == b'@' => name.push(char::from(byte)),
            byte => push_escaped(&mut name, byte),
        }
    }
    let hint = (name != text).then(|| {
        // A glob is not a name that somebody forgot to escape.
        let advice = if is_glob(text) { "" } else { " (maybe you should use systemd-escape?)" };
        format!("Invalid unit name \"{text}\" escaped as \"{name}\"{advice}.")
    });
    if UnitType::of(&name).is_none() {
        name.push_str(suffix);
    }
    if is_valid(&name) { Ok(Mangled { name, hint }) } else { Err(NameError::Mangle) }
}
