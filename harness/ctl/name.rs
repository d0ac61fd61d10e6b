//! From the words of a command line to unit names (systemctl(1): names without suffix, patterns).

use super::glob;

/// Whether patterns are left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Globs {
    Keep,
}

/// A unit name, and what is said on standard error if it had to be changed.
pub(super) struct Mangled {
    pub(super) name: String,
    pub(super) hint: Option<String>,
}

/// Makes a unit name, or a pattern of such, of a word; `None` if that cannot be done.
pub(super) fn mangle(word: &str, globs: Globs) -> Option<Mangled> {
    if globs == Globs::Keep && glob::is_glob(word) {
        return Some(Mangled { name: word.to_owned(), hint: None });
    }
    if word.is_empty() {
        return None;
    }
    let mut name = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'/' => name.push('-'),
            b':' | b'-' | b'_' | b'.' | b'\\' | b'@' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    let hint = (name != word && !word.starts_with('/'))
        .then(|| format!("Invalid unit name \"{word}\" escaped as \"{name}\" (maybe you should use systemd-escape?)."));
    if !name.contains('.') {
        name.push_str(".service");
    }
    Some(Mangled { name, hint })
}
