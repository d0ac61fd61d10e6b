//! From the words of a command line to unit names (systemctl(1): names without suffix, patterns).

use crate::unit::name;

/// A unit name or a pattern, and what is said on standard error if the word had to be changed.
pub(super) struct Mangled {
    pub(super) name: String,
    pub(super) hint: Option<String>,
}

/// Makes a unit name, or a pattern of such, of a word; `None` if that cannot be done.
pub(super) fn mangle(word: &str, suffix: &str) -> Option<Mangled> {
    let pattern_byte = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@*?[]!^".contains(&b);
    if name::is_glob(word) && word.bytes().all(pattern_byte) {
        return Some(Mangled { name: word.to_owned(), hint: None });
    }
    let mangled = name::mangle(word, suffix).ok()?;
    Some(Mangled { name: mangled.name, hint: mangled.hint })
}
